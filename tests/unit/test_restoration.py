import numpy as np
import pytest
import xarray as xr

from oracles import restoration as oracle
from strata import restoration
from strata.restoration import EXCLUDED, FROM_START, NEVER

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
    with pytest.raises(ValueError, match="p_target.*layer"):
        restoration.average_by_category(trace.rename(depth="layer"), **OPTIONS)
    trace["p_target"][2, 0, 0, 0, int(trace.n_tokens[2]) - 1] = np.nan
    with pytest.raises(ValueError, match="p2"):
        restoration.average_by_category(trace, **OPTIONS)
