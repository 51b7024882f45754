import numpy as np
import xarray as xr

from oracles import restoration as oracle
from oracles.random_traces import OPTIONS, add_measures, make_trace, step_trace
from strata.trace import restoration
from strata.trace.averages import average_by_category


def test_normalise_equals_the_loop():
    trace = make_trace()
    keep = restoration.included(trace, 0.1)
    found = restoration.at_sites(restoration.normalise(trace, 0.1), trace)
    found = found.transpose("prompt", "noise", "site", "depth")
    assert 0 < int(keep.sum()) < keep.size, "the case must hold excluded and included prompts"
    for i in range(trace.sizes["prompt"]):
        for j in range(trace.sizes["noise"]):
            expected = oracle.curves(trace, i, j, range(trace.sizes["sample"]), 0.1)
            np.testing.assert_allclose(found[i, j], expected, rtol=1e-5, atol=1e-6)
            assert bool(keep[i, j]) == (not np.isnan(expected).any())


def test_normalised_ends():
    trace = step_trace([3])
    normal = restoration.at_sites(restoration.normalise(trace, 0.1), trace).squeeze()
    np.testing.assert_allclose(normal.sel(site="subject"), [1, 1, 1, 0, 0, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(normal.sel(site="final"), [0, 0, 0, 1, 1, 1, 1, 1], atol=1e-12)


def test_one_sample_without_effect_does_not_swamp_the_rest():
    trace = step_trace([3])
    trace["p_corrupted"][0, 0, 0] = 0.9 - 1e-9
    trace["p_target"][0, 0, 0] = 0.5
    normal = restoration.normalise(trace, 0.1)
    assert abs(normal.isel(depth=0)).max() <= 1


def test_measures_of_the_clean_and_the_corrupted_run_are_one_and_zero():
    trace = add_measures(make_trace(6))
    trace["p_corrupted"] = 0.05 * trace.p_corrupted
    for name, variables in restoration.MEASURES.items():
        clean = 0.0 if variables.clean is None else trace[variables.clean]
        corrupted = trace[variables.corrupted]
        there = trace[name].notnull()
        for planted, expected in ((clean, 1), (corrupted, 0)):
            found = restoration.normalise(
                trace.assign({name: xr.where(there, planted, np.nan)}), 0.1, measure=name
            )
            # A clean logit difference may be taken away altogether, but not by every draw here.
            np.testing.assert_allclose(found.values[~np.isnan(found.values)], expected, atol=1e-6)
            assert np.isfinite(found).any()


def test_prompts_completed_otherwise_take_no_part():
    trace = add_measures(step_trace([3] * 16)).reset_coords("p_clean")
    trace["logit_difference_clean"] = ("prompt", np.where(np.arange(16) < 2, -1.0, 1.0))
    kept = restoration.still_guessed(trace)
    assert kept.still_guessed.values.tolist() == [False] * 2 + [True] * 14
    table = average_by_category(kept, **OPTIONS).squeeze()
    assert table.n_prompts == 14 and table.n_excluded == 0 and not table.included[:2].any()
    rest = average_by_category(trace.isel(prompt=slice(2, None)), **OPTIONS).squeeze()
    np.testing.assert_allclose(table.restoration, rest.restoration)
