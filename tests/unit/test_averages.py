import numpy as np
import pytest
import xarray as xr

from oracles import intervals
from oracles import restoration as oracle
from oracles.random_traces import OPTIONS, add_measures, make_trace, record_draws, step_trace
from strata.stats.thresholds import LEAST_UNITS
from strata.trace import resampling, restoration
from strata.trace.averages import average_by_category, average_by_gap, average_heads, left_out
from strata.trace.resampling import Drawn, Samples
from strata.trace.transition import EXCLUDED, MARGIN


def test_excluded_prompts_are_counted_and_named():
    trace = step_trace([2, 4, 6])
    trace["p_corrupted"][1] = 0.85
    table = average_by_category(trace, **OPTIONS)
    assert table.n_prompts.item() == 2 and table.n_excluded.item() == 1
    assert table.prompt.values[~table.included.values[:, 0]].tolist() == ["p2"]
    assert table.transition_reason.values[:, 0].tolist() == ["", EXCLUDED, ""]
    assert table.transition_mean.item() == pytest.approx((1.5 + 5.5) / 2)
    np.testing.assert_allclose(table.gap_share.values[:, 0], [8 / 9, 0.05 / 0.9, 8 / 9])


def test_averages_equal_the_loop():
    trace = make_trace(10, seed=4)
    table = average_by_category(trace, **OPTIONS)
    samples = list(range(trace.sizes["sample"]))
    assert table.category.values.tolist() == ["rote", "fact"]
    for c, category in enumerate(("rote", "fact")):
        prompts = np.flatnonzero(trace.category.values == category)
        for j in range(trace.sizes["noise"]):
            curves, depth = oracle.averages(trace, j, [(i, samples) for i in prompts], 0.1, MARGIN)
            cell = table.isel(category=c, noise=j)
            np.testing.assert_allclose(
                cell.restoration.transpose("site", "depth"), curves, rtol=1e-5, atol=1e-6
            )
            np.testing.assert_allclose(cell.transition_mean, depth, rtol=1e-5)
            assert cell.n_prompts + cell.n_excluded == len(prompts)


def test_intervals_equal_the_loop_over_the_same_resamples(monkeypatch):
    facts = ["f0", "f1", "f0", *[f"f{i}" for i in range(1, 23)]]  # two facts are asked twice
    trace = make_trace(50, n_samples=3, n_depths=4, seed=4).isel(prompt=slice(0, None, 2))
    trace = trace.assign_coords(fact=("prompt", facts))
    draws = record_draws(monkeypatch)
    monkeypatch.setattr(resampling, "TILE_VALUES", 4000)
    monkeypatch.setattr(resampling, "BLOCK_VALUES", 500)
    table = average_by_category(trace, **OPTIONS).squeeze("category")
    samples = list(range(trace.sizes["sample"]))
    found = [[(i, samples) for i in np.flatnonzero(np.array(facts) == fact)] for fact in dict.fromkeys(facts)]
    assert len(draws) == OPTIONS["n_resamples"] and table.n_facts.max() >= LEAST_UNITS
    assert {len(fact) for draw in draws for fact in draw} == {1, 2}
    for j in range(trace.sizes["noise"]):

        def curves(draw, level=j):
            return [[oracle.curves(trace, i, level, own, 0.1) for i, own in fact] for fact in draw]

        each = [curves(found), *map(curves, draws)]
        depths = [[[oracle.crossing(*prompt, MARGIN) for prompt in fact] for fact in draw] for draw in each]
        ends = {}
        for site, depth in np.ndindex(2, trace.sizes["depth"]):
            at = [[[prompt[site][depth] for prompt in fact] for fact in draw] for draw in each]
            ends[site, depth] = intervals.studentised(at[0], at[1:], OPTIONS["interval"])
        of_transition = intervals.studentised(depths[0], depths[1:], OPTIONS["interval"])
        cell = table.isel(noise=j)
        if cell.n_facts < LEAST_UNITS:
            assert np.isnan(cell.restoration_low).all()
            continue
        for side, end in enumerate(("low", "high")):
            curve = cell[f"restoration_{end}"].transpose("site", "depth").values
            for (site, depth), expected in ends.items():
                assert curve[site, depth] == pytest.approx(expected[side], rel=1e-4, abs=1e-6)
            n = sum(any(not np.isnan(depth) for depth in fact) for fact in depths[0])
            expected = of_transition[side] if n >= LEAST_UNITS else np.nan
            assert float(cell[f"transition_{end}"]) == pytest.approx(expected, rel=1e-4, nan_ok=True)


@pytest.mark.long
def test_interval_covers_the_planted_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits, trials = 0, 100
    for trial in range(trials):
        trace = step_trace([3] * 30, n_samples=3, n_depths=5)
        between = rng.normal(0, 0.1, (30, 1, 1, 1, 1))
        within = rng.normal(0, 0.1, (30, 1, 3, 1, 1))
        trace["p_target"] = trace.p_target + (between + within)
        table = average_by_category(trace, **{**OPTIONS, "n_resamples": 100, "seed": trial}).squeeze()
        at = table.sel(site="subject", depth=0)
        hits += bool(at.restoration_low <= 1 <= at.restoration_high)
    assert 0.78 < hits / trials < 1.0  # 90 %, four standard errors


def test_seed_repeats_and_other_categories_change_nothing():
    trace = make_trace(60, seed=2)
    table = average_by_category(trace, **OPTIONS)
    xr.testing.assert_identical(table, average_by_category(trace, **OPTIONS))
    alone = average_by_category(trace.isel(prompt=np.flatnonzero(trace.category.values == "fact")), **OPTIONS)
    both = table.sel(category="fact")
    assert table.restoration_low.notnull().all()
    for name in ("restoration_low", "transition_high"):
        np.testing.assert_array_equal(alone[name].squeeze("category"), both[name])
    other = average_by_category(trace, **{**OPTIONS, "seed": 4})
    assert not other.restoration_low.equals(table.restoration_low)


def test_too_few_facts_have_no_interval():
    switches = np.arange(20) % 5 + 2
    trace = step_trace(switches)
    table = average_by_category(trace, **OPTIONS).squeeze()
    assert np.isfinite(table.restoration_low).all() and np.isfinite(table.transition_low)
    trace = trace.assign_coords(fact=("prompt", [f"f{i // 2}" for i in range(20)]))
    table = average_by_category(trace, **OPTIONS).squeeze()
    assert table.n_prompts == 20 and table.n_facts == 10
    assert np.isnan(table.restoration_low).all() and np.isnan(table.transition_low)
    assert np.isfinite(table.restoration).all()
    trace["p_corrupted"][:] = 0.9
    table = average_by_category(trace, **OPTIONS).squeeze()
    assert np.isnan(table.restoration).all() and table.n_excluded == 20


def test_netcdf_keeps_the_table(tmp_path):
    table = average_by_category(make_trace(), **OPTIONS)
    table.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "t.nc", engine="h5netcdf") as back:
        xr.testing.assert_equal(back.load(), table)


def test_bad_input_is_named():
    trace = make_trace()
    with pytest.raises(ValueError, match="min_gap.*1.5"):
        restoration.included(trace, 1.5)
    with pytest.raises(ValueError, match="interval.*95"):
        average_by_category(trace, **{**OPTIONS, "interval": 95})
    with pytest.raises(ValueError, match="p_target.*level"):
        average_by_category(trace.rename(depth="level"), **OPTIONS)
    trace["p_target"][2, 0, 0, 0, int(trace.n_tokens[2]) - 1] = np.nan
    with pytest.raises(ValueError, match="p2"):
        average_by_category(trace, **OPTIONS)


@pytest.mark.parametrize("axis", ["depth", "layer"])
@pytest.mark.parametrize("measure", list(restoration.MEASURES))
def test_every_measure_is_normalised_and_averaged_like_the_loop(measure, axis):
    trace = add_measures(make_trace(8, seed=1)).rename(depth=axis)
    samples = list(range(trace.sizes["sample"]))
    table = average_by_category(trace, **OPTIONS | {"min_gap": 0.4}, measure=measure)
    assert table.restoration.dims[-1] == axis and table.attrs["measure"] == measure
    assert 0 < int(table.n_excluded.sum()) < table.included.size, "the case must hold both kinds"
    for j in range(trace.sizes["noise"]):
        for c, category in enumerate(("rote", "fact")):
            prompts = np.flatnonzero(trace.category.values == category)
            each = [oracle.curves(trace, i, j, samples, 0.4, measure) for i in prompts]
            means = [[oracle.mean(at) for at in zip(*(one[s] for one in each), strict=True)] for s in (0, 1)]
            cell = table.isel(category=c, noise=j)
            np.testing.assert_allclose(cell.restoration.transpose("site", axis), means, rtol=1e-5, atol=1e-6)
            assert cell.n_prompts == sum(not np.isnan(one[0][0]) for one in each)


def test_windows_of_layers_have_no_transition():
    table = average_by_category(make_trace().rename(depth="layer"), **OPTIONS)
    assert not [name for name in table if "transition" in name or "overtakings" in name]
    assert "restoration_high" in table


def test_prompts_without_a_set_are_neither_averaged_nor_left_out():
    table = average_by_category(add_measures(make_trace()), **OPTIONS, measure="p_set")
    assert not table.included.sel(prompt="p1").any()
    assert (table.n_prompts + table.n_excluded).values.tolist() == [[3, 3], [2, 2]]


def test_missing_samples_are_left_out_of_means_and_draws(monkeypatch):
    trace = make_trace(16, seed=8).isel(prompt=slice(0, None, 2))
    lacking = [(0, 2), (3, 1), (5, 0)]  # prompt, samples that it has at the second level
    for prompt, n in lacking:
        for name in ("p_target", "p_corrupted"):
            trace[name][prompt, 1, n:] = np.nan
    table = average_by_category(trace, **OPTIONS).squeeze("category")
    samples = {(i, j): list(range(trace.sizes["sample"])) for i in range(8) for j in (0, 1)}
    samples |= {(prompt, 1): list(range(n)) for prompt, n in lacking}
    for (i, j), own in samples.items():
        found = table.restoration_prompt[i, j].transpose("site", "depth")
        expected = oracle.curves(trace, i, j, own, 0.1) if own else np.nan
        np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-5, atol=1e-6)
    assert not table.included[5, 1] and np.isnan(table.gap_share[5, 1])
    assert table.transition_reason[5, 1] == EXCLUDED and np.isfinite(table.restoration).all()

    # Of a level with one sample left everywhere, facts and prompts alone are drawn.
    single = make_trace(56, seed=8).isel(prompt=slice(0, None, 2))
    for name in ("p_target", "p_corrupted"):
        single[name][:, 1, 1:] = np.nan
    draws = record_draws(monkeypatch)
    table = average_by_category(single, **OPTIONS).squeeze("category")
    assert table.n_facts[1] >= LEAST_UNITS

    def final(draw):
        return [[oracle.curves(single, i, 1, [0], 0.1)[1][2] for i, _ in fact] for fact in draw]

    ends = intervals.studentised(final([[(i, 0)] for i in range(28)]), [*map(final, draws)], 0.9)
    at = table.isel(noise=1, depth=2).sel(site="final")
    np.testing.assert_allclose([at.restoration_low, at.restoration_high], ends, rtol=1e-4, atol=1e-6)


def test_samples_that_a_level_has_are_drawn_as_often_as_a_bootstrap_does():
    trace = step_trace([3], n_samples=4)
    subject = int(trace.subject_position[0])
    trace["p_target"][0, 0, :, 0, subject] = [0.1, 0.9, np.nan, np.nan]  # restores nothing, everything
    trace["p_target"][0, 0, 2:] = np.nan
    trace["p_corrupted"][0, 0, 2:] = np.nan
    sites = restoration.at_sites(trace.p_target, trace).transpose(..., "site", "depth")
    samples = Samples.of(trace, sites, "p_target")
    [drawn] = samples.means([lambda restored: restored], 0.5, 4000, np.random.default_rng(0))
    assert drawn.mean.shape == (4000, 1, 2, 8)
    shares = [np.isclose(drawn.mean[:, 0, 0, 0], value).mean() for value in (0, 0.5, 1)]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25], atol=0.03)


def test_rule_loosened_and_tightened():
    trace = make_trace(12, seed=3)
    options = {name: value for name, value in OPTIONS.items() if name != "min_gap"}
    gaps = [0.1, 0.5, 0.9]
    table = average_by_gap(trace, gaps, **options)
    assert table.min_gap.values.tolist() == gaps and "min_gap" not in table.attrs
    assert (table.n_prompts.diff("min_gap") <= 0).all() and len(np.unique(table.n_prompts)) > 2
    for gap in gaps:
        alone = average_by_category(trace, min_gap=gap, **options)
        at = table.sel(min_gap=gap, drop=True)
        for name in ("restoration", "restoration_low", "transition_high", "included", "transition_reason"):
            xr.testing.assert_equal(at[name], alone[name])

    lost = left_out(table)
    assert lost.columns.tolist() == ["prompt", "category", "noise", "min_gap", "gap_share"]
    assert (lost.gap_share < lost.min_gap).all()
    counted = lost.groupby(["min_gap", "category", "noise"]).size()
    for key, n in counted.items():
        gap, category, noise = key
        assert n == table.n_excluded.sel(min_gap=gap, category=category, noise=noise)
    assert counted.sum() == table.n_excluded.sum()
    single = left_out(average_by_category(trace, min_gap=0.5, **options))
    assert single.equals(lost[lost.min_gap == 0.5].reset_index(drop=True))


def test_unknown_measure_is_named():
    with pytest.raises(ValueError, match="p_target.*'p_traget'"):
        average_by_category(make_trace(), **OPTIONS, measure="p_traget")
    with pytest.raises(ValueError, match="p_set"):
        average_by_category(make_trace(), **OPTIONS, measure="p_set")


def test_heads_have_the_averages_of_their_own_traces():
    """Head 0 restores nothing, head 1 everything at the final token of layer 2."""
    trace = step_trace([0] * 15).rename(depth="layer")
    nothing = trace.assign(p_target=trace["p_corrupted"] + 0 * trace["p_target"])
    at_end = (trace["position"] == trace["n_tokens"] - 1) & (trace["layer"] == 2)
    heads = nothing["p_target"].where(~at_end, trace["p_clean"])
    heads = xr.concat([nothing["p_target"], heads], "head")
    averages = average_heads(trace.assign(p_target=heads), **OPTIONS)
    assert averages["restoration"].dims == ("head", "category", "noise", "site", "layer")
    assert averages["n_prompts"].item() == 15 and averages.attrs["min_gap"] == OPTIONS["min_gap"]
    expected = np.zeros((2, 2, 8))
    expected[1, 1, 2] = 1
    for name in ("restoration", "restoration_low", "restoration_high"):
        np.testing.assert_allclose(averages[name].isel(category=0, noise=0), expected, atol=1e-6)


def test_groups_of_neurons_have_the_averages_of_their_own_traces():
    trace = step_trace([0] * 15).rename(depth="layer")
    nothing = trace["p_corrupted"] + 0 * trace["p_target"]
    groups = xr.concat(
        [trace["p_target"], nothing], xr.DataArray(["1", "random"], dims="neuron_group", name="neuron_group")
    )
    averages = average_heads(trace.assign(p_target=groups), "neuron_group", **OPTIONS)
    assert averages["neuron_group"].values.tolist() == ["1", "random"]
    alone = average_by_category(trace, **OPTIONS)
    for name in ("restoration", "restoration_low", "restoration_high", "n_prompts"):
        at = averages[name] if name == "n_prompts" else averages[name].sel(neuron_group="1")
        np.testing.assert_array_equal(at, alone[name])
    np.testing.assert_allclose(averages["restoration"].sel(neuron_group="random"), 0, atol=1e-6)


def test_what_was_not_traced_has_no_averages():
    nothing = xr.Dataset(attrs={"not_traced": "groups of neurons"})
    assert average_heads(nothing, "neuron_group", **OPTIONS).identical(nothing)


@pytest.mark.parametrize(("n_samples", "kinds"), [(1, 1), (2, 3), (3, 10)])
def test_what_is_drawn_several_times_is_restored_once(n_samples, kinds):
    """Of the last prompt no sample is there: its weights are not defined."""
    rng = np.random.default_rng(n_samples)
    prompt = np.sort(rng.integers(4, size=3000))
    weights = rng.multinomial(n_samples, np.full(n_samples, 1 / n_samples), size=3000)[:, None] / n_samples
    weights[prompt == 3] = np.nan
    with np.errstate(invalid="raise"):
        different, which = Drawn(prompt, np.arange(3000), weights).different()
    assert len(different.prompt) == 3 * kinds + 1
    assert np.array_equal(different.prompt[which], prompt)
    assert np.array_equal(different.weights[which], weights, equal_nan=True)
    assert (np.diff(different.prompt) >= 0).all()


def test_what_hardly_comes_twice_is_left_as_it_was_drawn():
    weights = np.random.default_rng(0).multinomial(10, np.full(10, 0.1), size=500)[:, None] / 10
    drawn = Drawn(np.zeros(500, int), np.arange(500), weights)
    different, which = drawn.different()
    assert different is drawn and np.array_equal(which, np.arange(500))
