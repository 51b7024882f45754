import numpy as np
import pytest
import xarray as xr
from scipy import stats

from oracles.random_traces import OPTIONS, add_measures, make_trace
from strata.trace.approximation import COMPARED, compare_approximation
from strata.trace.restoration import MEASURES


def traces(n_prompts=40, seed=0):
    """An exact trace, and an approximate one that is some way off; the same runs."""
    exact = add_measures(make_trace(n_prompts, seed=seed))
    exact["fact"] = ("prompt", [f"f{i // 2}" for i in range(n_prompts)])
    exact["category"] = ("prompt", ["rote"] * (n_prompts - 4) + ["fact"] * 4)
    exact = exact.assign_coords(sample=range(exact.sizes["sample"]))
    approximate = exact.copy(deep=True)
    rng = np.random.default_rng(seed + 1)
    for measure in COMPARED:
        noise = rng.normal(0.1, 0.3, exact[measure].shape)
        approximate[measure] = exact[measure] + noise
    return exact, approximate


def by_hand(exact, approximate, measure, noise, prompts):
    """Exact, approximate and rank correlation of each prompt that counts, by plain loops."""
    clean, corrupted = MEASURES[measure].clean, MEASURES[measure].corrupted
    found = []
    for prompt in prompts:
        end, start = float(exact[clean].sel(prompt=prompt)), exact[corrupted].sel(prompt=prompt, noise=noise)
        if np.mean((end - start) / end) < OPTIONS["min_gap"]:
            continue
        gap = end - float(start.mean())
        at = exact.sel(prompt=prompt)
        positions = [int(at.subject_position), int(at.n_tokens) - 1]
        restored, ranked = [], []
        for trace in (exact, approximate):
            lift = (trace[measure].sel(prompt=prompt, noise=noise) - start).mean("sample").values
            restored.append(
                [[lift[depth, position] / gap for depth in range(len(lift))] for position in positions]
            )
            ranked.append([value for value in lift.ravel() if not np.isnan(value)])
        found.append((*restored, stats.spearmanr(*ranked).statistic))
    theirs, ours, ranks = (np.array(each) for each in zip(*found, strict=True))
    return theirs, ours, ranks


@pytest.mark.parametrize("measure", COMPARED)
def test_means_errors_and_ranks_are_those_of_plain_loops(measure):
    exact, approximate = traces()
    found = compare_approximation(exact, approximate, **OPTIONS)
    for noise in exact.noise.values:
        for category in ("all", "rote", "fact"):
            mask = (exact.category == category) | (category == "all")
            theirs, ours, ranks = by_hand(
                exact, approximate, measure, noise, exact.prompt.values[mask.values]
            )
            at = found.sel(measure=measure, noise=noise, category=category)
            expected = {
                "exact": theirs.mean(0),
                "approximate": ours.mean(0),
                "bias": (ours - theirs).mean(0),
                "error": np.abs(ours - theirs).mean(0),
                "rank_correlation": ranks.mean(),
            }
            for name, value in expected.items():
                np.testing.assert_allclose(at[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
            assert at.n_prompts == at.exact_n == len(theirs)
            assert at.n_prompts + at.n_excluded == mask.sum()
    assert found.n_excluded.max() > 0 and found.category.values.tolist() == ["all", "rote", "fact"]


def test_intervals_hold_the_means_and_small_categories_have_none():
    found = compare_approximation(*traces(), **OPTIONS)
    rote, fact = found.sel(category="rote"), found.sel(category="fact")
    for name in ("exact", "approximate", "bias", "error", "rank_correlation"):
        assert (rote[f"{name}_low"] < rote[name]).all() and (rote[name] < rote[f"{name}_high"]).all()
        assert fact[f"{name}_low"].isnull().all() and fact[name].notnull().all()


def test_the_exact_trace_is_its_own_best_approximation():
    exact, _ = traces()
    found = compare_approximation(exact, exact, **OPTIONS)
    np.testing.assert_array_equal(found["error"], 0)
    np.testing.assert_allclose(found["rank_correlation"], 1)
    np.testing.assert_array_equal(found["exact"], found["approximate"])


def test_ranks_are_of_the_sites_that_the_exact_trace_has():
    """Between subject and final token only the approximate trace may have values."""
    exact, approximate = traces()
    position = xr.DataArray(range(exact.sizes["position"]), dims="position")
    between = (position > exact.subject_position) & (position < exact.n_tokens - 1)
    wild = approximate.copy()
    for measure in COMPARED:
        exact[measure] = exact[measure].where(~between)
        wild[measure] = approximate[measure].where(~between, 99.0)
    found, expected = (compare_approximation(exact, other, **OPTIONS) for other in (wild, approximate))
    xr.testing.assert_equal(found, expected)


def test_what_is_not_of_the_same_runs_is_refused():
    exact, approximate = traces()
    with pytest.raises(ValueError, match="another prompt"):
        compare_approximation(exact, approximate.isel(prompt=slice(None, None, -1)), **OPTIONS)
    with pytest.raises(ValueError, match="another noise"):
        compare_approximation(exact, approximate.isel(noise=[0]), **OPTIONS)
    with pytest.raises(ValueError, match="no depth"):
        compare_approximation(exact, approximate.rename(depth="layer"), **OPTIONS)
