import numpy as np
import pytest
import xarray as xr

from oracles import restoration as oracle
from strata.trace import restoration
from strata.trace.restoration import EXCLUDED, FROM_START, NEVER

OPTIONS = {"min_gap": 0.1, "n_resamples": 50, "interval": 0.9, "seed": 3}


def make_trace(n_prompts=6, n_noise=2, n_samples=4, n_depths=5, n_positions=7, seed=0):
    """Random probabilities with every prompt's own length and subject; NaN outside."""
    rng = np.random.default_rng(seed)
    n_tokens = rng.integers(4, n_positions + 1, n_prompts)
    subject = rng.integers(1, n_tokens - 2)
    p = rng.uniform(0, 1, (n_prompts, n_noise, n_samples, n_depths, n_positions))
    for i in range(n_prompts):
        p[i, ..., : subject[i]] = np.nan
        p[i, ..., n_tokens[i] :] = np.nan
    return xr.Dataset(
        {
            "p_target": (("prompt", "noise", "sample", "depth", "position"), p.astype("f4")),
            "p_corrupted": (
                ("prompt", "noise", "sample"),
                rng.uniform(0, 0.8, (n_prompts, n_noise, n_samples)).astype("f4"),
            ),
        },
        coords={
            "prompt": [f"p{i}" for i in range(n_prompts)],
            "noise": ["0.5", "3x"][:n_noise],
            "depth": np.arange(n_depths),
            "p_clean": ("prompt", rng.uniform(0.4, 1, n_prompts).astype("f4")),
            "category": ("prompt", ["rote", "fact"] * (n_prompts // 2)),
            "subject_position": ("prompt", subject),
            "n_tokens": ("prompt", n_tokens),
            "token_str": (("prompt", "position"), np.full((n_prompts, n_positions), "x")),
        },
    )


def step_trace(switches, n_depths=8, clean=0.9, corrupted=0.1, n_samples=3):
    """The subject restores everything up to depth ``switch``, the final token everything after."""
    trace = make_trace(len(switches) * 2, 1, n_samples, n_depths).isel(prompt=slice(0, None, 2))
    p = np.full(trace.p_target.shape, corrupted)
    for i, switch in enumerate(switches):
        p[i, ..., :switch, int(trace.subject_position[i])] = clean
        p[i, ..., switch:, int(trace.n_tokens[i]) - 1] = clean
    trace["p_target"] = trace.p_target.copy(data=p)
    trace["p_clean"] = trace.p_clean.copy(data=np.full(len(switches), clean))
    trace["p_corrupted"] = trace.p_corrupted.copy(data=np.full(trace.p_corrupted.shape, corrupted))
    return trace


def lead(curve):
    """Restoration whose final token leads by ``curve``."""
    curve = np.asarray(curve, float)
    return xr.DataArray(
        np.stack([np.zeros_like(curve), curve]),
        dims=("site", "depth"),
        coords={"site": list(restoration.SITES), "depth": np.arange(curve.size)},
    )


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


def test_excluded_prompts_are_counted_and_named():
    trace = step_trace([2, 4, 6])
    trace["p_corrupted"][1] = 0.85
    table = restoration.average_by_category(trace, **OPTIONS)
    assert table.n_prompts.item() == 2 and table.n_excluded.item() == 1
    assert table.prompt.values[~table.included.values[:, 0]].tolist() == ["p2"]
    assert table.transition_reason.values[:, 0].tolist() == ["", EXCLUDED, ""]
    assert table.transition_mean.item() == pytest.approx((1.5 + 5.5) / 2)
    np.testing.assert_allclose(table.gap_share.values[:, 0], [8 / 9, 0.05 / 0.9, 8 / 9])


@pytest.mark.parametrize("switch", [1, 4, 7])
def test_planted_step_switches_half_a_depth_before_the_first_restored_depth(switch):
    table = restoration.average_by_category(step_trace([switch]), **OPTIONS)
    assert table.transition_depth.item() == pytest.approx(switch - 0.5)


@pytest.mark.parametrize(
    ("curve", "depth", "reason", "overtakings"),
    [
        ([-1, -0.5, 0.5, 1], 1.5, "", 1),
        ([-1, -0.1, 0.3, 1], 1.25, "", 1),
        ([-1, 0.5, -0.5, 1], 2 + 1 / 3, "", 2),  # a lead taken back does not count
        ([-1, 0, 1, 1], 1.0, "", 1),
        ([-1, 1e-7, 1e-7, 1], 2.0, "", 1),  # a plateau within float noise is not a lead
        ([-1, -0.5, -0.1, -0.1], np.nan, NEVER, 0),
        ([-1, 0.5, 1, -0.1], np.nan, NEVER, 1),
        ([0.1, 0.5, 1, 1], np.nan, FROM_START, 0),
        ([np.nan] * 4, np.nan, EXCLUDED, 0),
    ],
)
def test_transition_depth_of_known_curves(curve, depth, reason, overtakings):
    found = restoration.transition_depth(lead(curve))
    assert found.transition_depth.item() == pytest.approx(depth, nan_ok=True)
    assert found.transition_reason.item() == reason
    assert found.n_overtakings.item() == overtakings


def test_averages_equal_the_loop():
    trace = make_trace(10, seed=4)
    table = restoration.average_by_category(trace, **OPTIONS)
    samples = list(range(trace.sizes["sample"]))
    assert table.category.values.tolist() == ["rote", "fact"]
    for c, category in enumerate(("rote", "fact")):
        prompts = np.flatnonzero(trace.category.values == category)
        for j in range(trace.sizes["noise"]):
            curves, depth = oracle.averages(
                trace, j, [(i, samples) for i in prompts], 0.1, restoration.MARGIN
            )
            cell = table.isel(category=c, noise=j)
            np.testing.assert_allclose(
                cell.restoration.transpose("site", "depth"), curves, rtol=1e-5, atol=1e-6
            )
            np.testing.assert_allclose(cell.transition_mean, depth, rtol=1e-5)
            assert cell.n_prompts + cell.n_excluded == len(prompts)


def test_intervals_equal_the_loop_over_the_same_resamples(monkeypatch):
    trace = make_trace(20, seed=4).isel(prompt=slice(0, None, 2))
    n_prompts, n_samples = trace.sizes["prompt"], trace.sizes["sample"]
    draws = []
    real = restoration.draw_resamples

    def record(*args):
        draws.append(real(*args))
        return draws[-1]

    monkeypatch.setattr(restoration, "draw_resamples", record)
    monkeypatch.setattr(restoration, "TILE_VALUES", 4000)
    table = restoration.average_by_category(trace, **OPTIONS).squeeze("category")
    assert len(draws) > 1, "the case must need several tiles"
    for j in range(trace.sizes["noise"]):
        results = [
            oracle.averages(
                trace,
                j,
                [
                    (prompts[i], np.repeat(range(n_samples), np.rint(weights[i] * n_samples).astype(int)))
                    for i in range(n_prompts)
                ],
                0.1,
                restoration.MARGIN,
            )
            for tile in draws
            for prompts, weights in zip(*tile, strict=True)
        ]
        assert len(results) == OPTIONS["n_resamples"]
        for end, share in (("low", 0.05), ("high", 0.95)):
            curves = np.nanquantile([one[0] for one in results], share, axis=0)
            found = table[f"restoration_{end}"].isel(noise=j).transpose("site", "depth")
            np.testing.assert_allclose(found, curves, rtol=1e-4, atol=1e-6)
            depth = np.nanquantile([one[1] for one in results], share)
            np.testing.assert_allclose(table[f"transition_{end}"].isel(noise=j), depth, rtol=1e-4)


def test_interval_covers_the_planted_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits, trials = 0, 100
    for trial in range(trials):
        trace = step_trace([3] * 30, n_samples=3, n_depths=5)
        between = rng.normal(0, 0.1, (30, 1, 1, 1, 1))
        within = rng.normal(0, 0.1, (30, 1, 3, 1, 1))
        trace["p_target"] = trace.p_target + (between + within)
        table = restoration.average_by_category(
            trace, **{**OPTIONS, "n_resamples": 100, "seed": trial}
        ).squeeze()
        at = table.sel(site="subject", depth=0)
        hits += bool(at.restoration_low <= 1 <= at.restoration_high)
    assert 0.78 < hits / trials < 1.0  # 90 %, four standard errors


def test_seed_repeats_and_other_categories_change_nothing():
    trace = make_trace(12, seed=2)
    table = restoration.average_by_category(trace, **OPTIONS)
    xr.testing.assert_identical(table, restoration.average_by_category(trace, **OPTIONS))
    alone = restoration.average_by_category(
        trace.isel(prompt=np.flatnonzero(trace.category.values == "fact")), **OPTIONS
    )
    both = table.sel(category="fact")
    for name in ("restoration_low", "transition_high"):
        np.testing.assert_array_equal(alone[name].squeeze("category"), both[name])
    other = restoration.average_by_category(trace, **{**OPTIONS, "seed": 4})
    assert not other.restoration_low.equals(table.restoration_low)


def test_too_few_prompts_have_no_interval():
    trace = step_trace([2, 4])
    trace["p_corrupted"][1] = 0.9
    table = restoration.average_by_category(trace, **OPTIONS).squeeze()
    assert np.isnan(table.restoration_low).all() and np.isnan(table.transition_low)
    assert np.isfinite(table.restoration).all()
    trace["p_corrupted"][0] = 0.9
    table = restoration.average_by_category(trace, **OPTIONS).squeeze()
    assert np.isnan(table.restoration).all() and table.n_excluded == 2


def test_netcdf_keeps_the_table(tmp_path):
    table = restoration.average_by_category(make_trace(), **OPTIONS)
    table.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "t.nc", engine="h5netcdf") as back:
        xr.testing.assert_equal(back.load(), table)


def test_bad_input_is_named():
    trace = make_trace()
    with pytest.raises(ValueError, match="min_gap.*1.5"):
        restoration.included(trace, 1.5)
    with pytest.raises(ValueError, match="interval.*95"):
        restoration.average_by_category(trace, **{**OPTIONS, "interval": 95})
    with pytest.raises(ValueError, match="p_target.*level"):
        restoration.average_by_category(trace.rename(depth="level"), **OPTIONS)
    trace["p_target"][2, 0, 0, 0, int(trace.n_tokens[2]) - 1] = np.nan
    with pytest.raises(ValueError, match="p2"):
        restoration.average_by_category(trace, **OPTIONS)


# Other measures, windows of layers, other rules ------------------------------------------------


def add_measures(trace, seed=5):
    """Random values of the other measures; prompt p1 names no set of completions."""
    rng = np.random.default_rng(seed)
    there = trace.p_target.notnull()
    for name, clean, least, most in (
        ("logit_difference", rng.uniform(2, 6, trace.sizes["prompt"]), -3, 5),
        ("kl_clean", None, 0.1, 4),
        ("p_set", rng.uniform(0.6, 1, trace.sizes["prompt"]), 0, 0.9),
    ):
        values = rng.uniform(least, most, trace.p_target.shape)
        trace[name] = trace.p_target.copy(data=values).where(there)
        corrupted = rng.uniform(least, most, trace.p_corrupted.shape)
        trace[f"{name}_corrupted"] = trace.p_corrupted.copy(data=corrupted)
        if clean is not None:
            trace[f"{name}_clean"] = ("prompt", clean)
    for name in ("p_set", "p_set_clean", "p_set_corrupted"):
        trace[name] = trace[name].where(trace.prompt != "p1")
    return trace


def record_draws(monkeypatch):
    """Draws of the bootstrap, as lists of (prompt, samples), resample by resample."""
    found = []
    real = restoration.draw_resamples

    def record(rng, n_prompts, n_samples, n_resamples):
        drawn, weights = real(rng, n_prompts, n_samples, n_resamples)
        times = np.rint(weights * n_samples).astype(int)
        found.extend(
            [(p, np.repeat(range(n_samples), t)) for p, t in zip(prompts, each, strict=True)]
            for prompts, each in zip(drawn, times, strict=True)
        )
        return drawn, weights

    monkeypatch.setattr(restoration, "draw_resamples", record)
    return found


@pytest.mark.parametrize("axis", ["depth", "layer"])
@pytest.mark.parametrize("measure", list(restoration.MEASURES))
def test_every_measure_is_normalised_and_averaged_like_the_loop(measure, axis):
    trace = add_measures(make_trace(8, seed=1)).rename(depth=axis)
    samples = list(range(trace.sizes["sample"]))
    table = restoration.average_by_category(trace, **OPTIONS | {"min_gap": 0.4}, measure=measure)
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


def test_windows_of_layers_have_no_transition():
    table = restoration.average_by_category(make_trace().rename(depth="layer"), **OPTIONS)
    assert not [name for name in table if "transition" in name or "overtakings" in name]
    assert "restoration_high" in table


def test_prompts_without_a_set_are_neither_averaged_nor_left_out():
    table = restoration.average_by_category(add_measures(make_trace()), **OPTIONS, measure="p_set")
    assert not table.included.sel(prompt="p1").any()
    assert (table.n_prompts + table.n_excluded).values.tolist() == [[3, 3], [2, 2]]


def test_missing_samples_are_left_out_of_means_and_draws(monkeypatch):
    trace = make_trace(16, seed=8).isel(prompt=slice(0, None, 2))
    lacking = [(0, 2), (3, 1), (5, 0)]  # prompt, samples that it has at the second level
    for prompt, n in lacking:
        for name in ("p_target", "p_corrupted"):
            trace[name][prompt, 1, n:] = np.nan
    table = restoration.average_by_category(trace, **OPTIONS).squeeze("category")
    samples = {(i, j): list(range(trace.sizes["sample"])) for i in range(8) for j in (0, 1)}
    samples |= {(prompt, 1): list(range(n)) for prompt, n in lacking}
    for (i, j), own in samples.items():
        found = table.restoration_prompt[i, j].transpose("site", "depth")
        expected = oracle.curves(trace, i, j, own, 0.1) if own else np.nan
        np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-5, atol=1e-6)
    assert not table.included[5, 1] and np.isnan(table.gap_share[5, 1])
    assert table.transition_reason[5, 1] == EXCLUDED and np.isfinite(table.restoration).all()

    # Of a level with one sample left everywhere, only prompts are drawn: an interval known otherwise.
    single = trace.copy(deep=True)
    for name in ("p_target", "p_corrupted"):
        single[name][:, 1, 1:] = np.nan
    draws = record_draws(monkeypatch)
    table = restoration.average_by_category(single, **OPTIONS).squeeze("category")
    each = [
        oracle.averages(single, 1, [(i, [0]) for i, _ in draw if i != 5], 0.1, restoration.MARGIN)[0]
        for draw in draws
    ]
    found = table.restoration_low.isel(noise=1).transpose("site", "depth")
    np.testing.assert_allclose(found, np.nanquantile(each, 0.05, axis=0), rtol=1e-4, atol=1e-6)


def test_samples_that_a_level_has_are_drawn_as_often_as_a_bootstrap_does():
    trace = step_trace([3], n_samples=4)
    subject = int(trace.subject_position[0])
    trace["p_target"][0, 0, :, 0, subject] = [0.1, 0.9, np.nan, np.nan]  # restores nothing, everything
    trace["p_target"][0, 0, 2:] = np.nan
    trace["p_corrupted"][0, 0, 2:] = np.nan
    sites = restoration.at_sites(trace.p_target, trace).transpose(..., "site", "depth")
    samples = restoration.Samples.of(trace, sites, "p_target")
    drawn = np.concatenate(list(samples.resampled(0.5, 4000, np.random.default_rng(0))))
    assert drawn.shape == (4000, 1, 1, 2, 8)
    shares = [np.isclose(drawn[:, 0, 0, 0, 0], value).mean() for value in (0, 0.5, 1)]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25], atol=0.03)


def test_rule_loosened_and_tightened():
    trace = make_trace(12, seed=3)
    options = {name: value for name, value in OPTIONS.items() if name != "min_gap"}
    gaps = [0.1, 0.5, 0.9]
    table = restoration.average_by_gap(trace, gaps, **options)
    assert table.min_gap.values.tolist() == gaps and "min_gap" not in table.attrs
    assert (table.n_prompts.diff("min_gap") <= 0).all() and len(np.unique(table.n_prompts)) > 2
    for gap in gaps:
        alone = restoration.average_by_category(trace, min_gap=gap, **options)
        at = table.sel(min_gap=gap, drop=True)
        for name in ("restoration", "restoration_low", "transition_high", "included", "transition_reason"):
            xr.testing.assert_equal(at[name], alone[name])

    lost = restoration.left_out(table)
    assert lost.columns.tolist() == ["prompt", "category", "noise", "min_gap", "gap_share"]
    assert (lost.gap_share < lost.min_gap).all()
    counted = lost.groupby(["min_gap", "category", "noise"]).size()
    for key, n in counted.items():
        gap, category, noise = key
        assert n == table.n_excluded.sel(min_gap=gap, category=category, noise=noise)
    assert counted.sum() == table.n_excluded.sum()
    single = restoration.left_out(restoration.average_by_category(trace, min_gap=0.5, **options))
    assert single.equals(lost[lost.min_gap == 0.5].reset_index(drop=True))


# Severed runs --------------------------------------------------------------------------------


def severed_from(state, share, seed=0):
    """``share`` [depth] of the state's effect remains in every sample, at every position."""
    corrupted = state.p_corrupted
    share = xr.DataArray(share, dims="depth")
    return state.assign(p_target=corrupted + share * (state.p_target - corrupted))


@pytest.mark.parametrize("share", [0.0, 1.0, 0.3])
def test_planted_share_remains(share):
    state = step_trace([3, 4, 5, 6])
    found = restoration.severed_share(state, severed_from(state, np.full(8, share)), **OPTIONS).squeeze()
    at = found.sel(site="subject", depth=slice(0, 2))
    for name in ("share", "share_low", "share_high"):
        np.testing.assert_allclose(at[name], share, atol=1e-6)
    np.testing.assert_allclose(at.effect_state, 1, atol=1e-6)
    np.testing.assert_allclose(at.effect_severed, share, atol=1e-6)


def test_share_of_nothing_is_not_stated():
    state = step_trace([3, 4])
    found = restoration.severed_share(state, state, **OPTIONS).squeeze().sel(site="subject")
    assert np.isfinite(found.share).values.tolist() == [True] * 4 + [False] * 4
    stricter = restoration.severed_share(state, state, **OPTIONS, min_effect=0.6).squeeze()
    assert np.isfinite(stricter.share.sel(site="subject")).sum() == 3  # at depth 3 one of two restores


def test_severed_share_equals_the_loop_over_the_same_draws(monkeypatch):
    state = make_trace(16, seed=6).isel(prompt=slice(0, None, 2))
    rng = np.random.default_rng(1)
    severed = severed_from(state, rng.uniform(0, 1, state.sizes["depth"]))
    severed["p_target"] = severed.p_target + rng.normal(0, 0.05, severed.p_target.shape)
    severed["p_corrupted"] = severed.p_corrupted * np.nan  # not read: the state's is the corrupted run
    draws = record_draws(monkeypatch)
    options = OPTIONS | {"n_resamples": 20}
    found = restoration.severed_share(state, severed, **options, min_effect=-9).squeeze("category")
    samples = list(range(state.sizes["sample"]))
    whole = [(p, samples) for p in range(state.sizes["prompt"])]
    for j in range(state.sizes["noise"]):
        at = found.isel(noise=j).sel(site="subject")
        np.testing.assert_allclose(at.share, oracle.share(state, severed, j, whole, 0.1), rtol=1e-4)
        each = [oracle.share(state, severed, j, draw, 0.1) for draw in draws]
        assert len(each) == 20
        np.testing.assert_allclose(at.share_low, np.nanquantile(each, 0.05, axis=0), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(at.share_high, np.nanquantile(each, 0.95, axis=0), rtol=1e-3, atol=1e-5)


def test_severed_run_of_other_prompts_is_refused():
    state = make_trace()
    with pytest.raises(ValueError, match="prompts"):
        restoration.severed_share(state, state.isel(prompt=slice(None, None, -1)), **OPTIONS)
    with pytest.raises(ValueError, match="depths"):
        restoration.severed_share(state, state.isel(depth=slice(0, 3)), **OPTIONS)


# Subjects of several tokens --------------------------------------------------------------------


def make_long_subjects(lengths, n_depths=4, seed=0):
    """Prompts of 7 tokens; subject of ``lengths`` tokens, the first at position 1."""
    trace = make_trace(2 * len(lengths), 1, 3, n_depths, seed=seed).isel(prompt=slice(0, None, 2))
    p = np.random.default_rng(seed).uniform(0, 1, trace.p_target.shape)
    p[..., 0] = np.nan
    return trace.assign(p_target=trace.p_target.copy(data=p)).assign_coords(
        subject_start=("prompt", np.ones(len(lengths), int)),
        subject_position=("prompt", np.array(lengths)),
        n_tokens=("prompt", np.full(len(lengths), 7)),
    )


def test_the_trickle_from_token_to_token():
    trace = make_long_subjects([1, 3, 3])
    corrupted, clean = 0.1, 0.9
    p = np.full(trace.p_target.shape, corrupted)
    for depth, position in enumerate((1, 2, 3)):  # each token holds the answer at one depth
        p[..., depth, position] = clean
    trace["p_target"] = trace.p_target.copy(data=p)
    trace["p_clean"] = trace.p_clean.copy(data=np.full(3, clean))
    trace["p_corrupted"] = trace.p_corrupted.copy(data=np.full(trace.p_corrupted.shape, corrupted))
    table = restoration.average_subject_tokens(trace, **OPTIONS).squeeze("noise")
    assert table.subject_length.values.tolist() == [1, 3] and table.n_prompts.values.tolist() == [1, 2]
    np.testing.assert_allclose(table.restoration.sel(subject_length=3), np.eye(3, 4), atol=1e-9)
    np.testing.assert_allclose(table.restoration_low.sel(subject_length=3), np.eye(3, 4), atol=1e-9)
    single = table.sel(subject_length=1)
    np.testing.assert_allclose(single.restoration[0], [1, 0, 0, 0], atol=1e-9)
    assert np.isnan(single.restoration[1:]).all() and np.isnan(single.restoration_low).all()


def test_subject_tokens_equal_the_loop_over_the_same_draws(monkeypatch):
    trace = make_long_subjects([2, 3, 2, 2, 2, 3, 2, 2], seed=3)
    draws = record_draws(monkeypatch)
    table = restoration.average_subject_tokens(trace, **OPTIONS | {"min_gap": 0.4})
    at = table.squeeze("noise").sel(subject_length=2)
    rows = np.flatnonzero(trace.subject_position.values == 2)
    assert 0 < at.n_excluded < len(rows) and at.n_prompts + at.n_excluded == len(rows)
    of_two = draws[: OPTIONS["n_resamples"]]
    for k in range(2):

        def mean(draw, k=k):
            return oracle.mean_curve(trace, 0, draw, 0.4, lambda prompt: 1 + k)

        line = at.sel(subject_token=k)
        np.testing.assert_allclose(line.restoration, mean([(i, [0, 1, 2]) for i in rows]), rtol=1e-5)
        each = [mean([(rows[i], samples) for i, samples in draw]) for draw in of_two]
        np.testing.assert_allclose(line.restoration_low, np.nanquantile(each, 0.05, axis=0), rtol=1e-4)
        np.testing.assert_allclose(line.restoration_high, np.nanquantile(each, 0.95, axis=0), rtol=1e-4)


def test_a_subject_of_which_only_the_last_token_was_noised_is_refused():
    trace = make_long_subjects([1, 2])
    trace["p_target"] = trace.p_target.where(trace.prompt != "p2")
    with pytest.raises(ValueError, match="subject token.*p2"):
        restoration.average_subject_tokens(trace, **OPTIONS)


def test_unknown_measure_is_named():
    with pytest.raises(ValueError, match="p_target.*'p_traget'"):
        restoration.average_by_category(make_trace(), **OPTIONS, measure="p_traget")
    with pytest.raises(ValueError, match="p_set"):
        restoration.average_by_category(make_trace(), **OPTIONS, measure="p_set")
