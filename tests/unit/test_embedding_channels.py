import numpy as np
import pytest
import xarray as xr
from scipy import stats

from oracles import channels as slow
from strata.embedding import channels
from strata.embedding.channel_groups import channel_pairs
from strata.stats.bootstrap import Bootstrap
from strata.stats.ranks import rank_correlation

OPTIONS = {"resamples": 100, "interval": 0.95, "seed": 1}


def describe(weights):
    return channels.describe(weights["token_embedding"], weights.get("position_embedding"), **OPTIONS)


@pytest.fixture(scope="module")
def weights():
    return slow.planted()


@pytest.fixture(scope="module")
def found(weights):
    return describe(weights)


# Moments ------------------------------------------------------------------------------------


def test_moments_equal_plain_ones_whatever_the_tiles(weights):
    tokens = weights["token_embedding"]
    matrix = tokens.values.astype(float)
    for tile in (1, 7, 499, 500, 9999):
        mean, std, _ = channels.moments(tokens, "vocab", tile=tile)
        np.testing.assert_allclose(mean, matrix.mean(0), atol=1e-12)
        np.testing.assert_allclose(std, matrix.std(0), rtol=1e-10)
    small = tokens.isel(vocab=slice(40), channel=slice(30))
    _, _, shares = channels.moments(small.T, "vocab", tile=11)
    columns, rows = slow.shares_of_variance(small.values.astype(float))
    assert shares["share_of_channels"] == pytest.approx(columns)
    assert shares["share_of_tokens"] == pytest.approx(rows)


def test_tokens_that_never_occur_are_left_out(weights, found):
    tokens = weights["token_embedding"].copy(deep=True)
    counts = np.random.default_rng(0).integers(0, 4, slow.VOCAB)
    kept = channels.describe(tokens[counts > 0], **OPTIONS)
    tokens[counts == 0] = -50.0
    without = channels.describe(tokens, counts=counts, **OPTIONS)
    assert without["used"].values.tolist() == (counts > 0).tolist()
    for name in set(kept.data_vars) - {"used"}:
        np.testing.assert_allclose(without[name], kept[name], rtol=1e-9)
    n = int((counts > 0).sum())
    assert without.attrs["tokens"] == f"{n} tokens that occur in training"
    assert found.attrs["tokens"] == "all 500 tokens"
    mean, std, _ = channels.moments(tokens, "vocab", counts > 0, tile=7)
    np.testing.assert_allclose(mean, kept["token_mean"], atol=1e-12)
    np.testing.assert_allclose(std, kept["token_std"], rtol=1e-9)


def test_a_large_mean_costs_no_precision():
    values = 1e4 + np.random.default_rng(0).normal(0, 1e-2, (3000, 2))
    _, std, _ = channels.moments(xr.DataArray(values, dims=("vocab", "channel")), "vocab", tile=100)
    np.testing.assert_allclose(std, values.std(0), rtol=1e-6)


def test_stripes_are_found_and_none_in_noise(found):
    assert found["share_of_channels"] > 0.3, "channels have means of their own"
    assert found["share_of_tokens"] < found["share_of_tokens_expected"], "tokens have none"
    drawn = [channels.moments(slow.random(seed)["token_embedding"], "vocab")[2] for seed in range(20)]
    for what in ("share_of_channels", "share_of_tokens"):
        values = [d[what] for d in drawn]
        assert stats.ttest_1samp(values, drawn[0][f"{what}_expected"]).pvalue > 0.01
        assert np.mean(values) == pytest.approx(drawn[0][f"{what}_expected"], rel=0.05)


def test_known_exceptions_stand_out(found):
    assert int(found["token_std"].argmax("channel")) == 5 and float(found["token_std"][5]) == pytest.approx(
        2, rel=0.1
    )
    assert int(abs(found["token_mean"]).argmax("channel")) == 6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_matrix_is_refused(weights, bad):
    tokens = weights["token_embedding"].copy(deep=True)
    tokens[3, 4] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        channels.moments(tokens, "vocab")
    with pytest.raises(ValueError, match="vocab"):
        channels.moments(weights["position_embedding"], "vocab")


# Two groups ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_planted_channels_are_the_upper_group(seed):
    found = describe(slow.planted(seed))
    assert found.attrs["two_groups"] == 1 and "two groups" in found.attrs["split"]
    assert np.flatnonzero(found["upper"]).tolist() == slow.ACTIVE.tolist()
    # log10 of 0.01 and 0.3, each 0.1 wide (and a little for 128 positions)
    assert float(found["ashmans_d"]) == pytest.approx(np.sqrt(2) * 1.477 / np.hypot(0.105, 0.105), rel=0.15)
    assert found["ashmans_d_low"] < found["ashmans_d"] < found["ashmans_d_high"]
    assert -2 < found["boundary"] < np.log10(0.3)


def test_groups_of_known_distance():
    rng = np.random.default_rng(0)
    size = np.concatenate([rng.normal(0, 1, 6000), rng.normal(4, 1, 2000)])
    found = channels.split(10**size)
    assert found.groups.two
    assert found.groups.distance == pytest.approx(4, abs=0.15)
    # where 3 φ(x) + φ(x - 4) is lowest
    grid = np.linspace(1, 3, 100_001)
    density = 3 * stats.norm.pdf(grid) + stats.norm.pdf(grid - 4)
    assert found.boundary == pytest.approx(grid[density.argmin()], abs=0.1)


@pytest.mark.parametrize("shape", ["normal", "uniform", "gamma", "t"])
def test_one_cluster_is_not_two(shape):
    draw = {
        "normal": lambda rng: rng.normal(size=400),
        "uniform": lambda rng: rng.uniform(-1, 1, 400) + rng.normal(0, 0.3, 400),
        "gamma": lambda rng: rng.gamma(3, size=400),
        "t": lambda rng: rng.standard_t(4, 400),
    }[shape]
    wrong = 0
    for seed in range(20):
        found = channels.split(10 ** draw(np.random.default_rng(seed)))
        wrong += found.groups.two
        if not found.groups.two:
            assert abs(found.upper.mean() - 0.5) <= 0.5 / 400 and "no two groups" in found.told
    assert wrong <= 1


def test_no_channel_is_active_where_there_are_no_groups():
    active, told = channels.position_active(slow.random()["position_embedding"])
    assert not active.any() and told.startswith("no two groups")
    active, told = channels.position_active(slow.planted()["position_embedding"])
    assert np.flatnonzero(active).tolist() == slow.ACTIVE.tolist() and "Ashman's D" in told


def test_silent_channels_do_no_harm():
    std = np.concatenate([np.zeros(3), np.full(2, 0.1), np.linspace(0.1, 0.2, 95)])
    found = channels.split(std)
    assert np.isfinite(found.groups.distance) and not found.upper[:3].any()


# The rivalry --------------------------------------------------------------------------------


def test_rivalry_is_spearmans_and_mann_and_whitneys(found):
    std = found["position_std"].values
    upper = found["upper"].values
    for measure, sign in (("token_std", -1), ("token_mean", 1), ("position_mean", 0)):
        at = found.sel(measure=measure)
        rival = abs(found[measure]).values
        assert float(at["rho"]) == pytest.approx(slow.spearman(std, rival))
        assert float(at["auc"]) == pytest.approx(slow.chance_of_larger(rival[upper], rival[~upper]))
        assert at["rho_low"] < at["rho"] < at["rho_high"] and int(at["rho_n"]) == slow.WIDTH
        assert float(at["auc_p"]) == pytest.approx(stats.mannwhitneyu(rival[upper], rival[~upper]).pvalue)
        if sign:
            assert sign * float(at["rho"]) > 0.3 and float(at["rho_p"]) < 1e-8
            assert sign * (float(at["auc"]) - 0.5) > 0.45
            assert not at["auc_low"] < 0.5 < at["auc_high"]


@pytest.mark.long
def test_in_noise_there_is_no_rivalry():
    drawn = [describe(slow.random(seed)) for seed in range(15)]
    assert sum(d.attrs["two_groups"] for d in drawn) <= 1
    p = np.array([d["rho_p"].sel(measure=["token_std", "token_mean"]) for d in drawn])
    assert stats.kstest(p.ravel(), "uniform").pvalue > 0.01
    covers = np.mean([(d["rho_low"] < 0) & (d["rho_high"] > 0) for d in drawn])
    assert 0.85 < covers <= 1
    single = next(d for d in drawn if not d.attrs["two_groups"])
    assert single["auc"].isnull().all() and single["auc_p"].isnull().all()


def test_intervals_of_a_correlation_are_bonetts_and_wrights():
    rng = np.random.default_rng(2)
    x = rng.normal(size=400)
    y = 0.6 * x + rng.normal(size=400)
    at = rank_correlation("rho", x, y, Bootstrap(2000, 0.95, 0))
    half = 1.96 * np.sqrt((1 + float(at["rho"]) ** 2 / 2) / 397)
    ends = np.tanh(np.arctanh(float(at["rho"])) + np.array([-half, half]))
    np.testing.assert_allclose([at["rho_low"], at["rho_high"]], ends, atol=0.03)
    constant = rank_correlation("rho", x, np.ones(400), Bootstrap(20, 0.95, 0))
    assert constant["rho"].isnull() and constant["rho_low"].isnull()


def test_without_positions_only_tokens_are_described(weights, found):
    alone = describe(weights.drop_vars("position_embedding"))
    assert alone.attrs["position_embedding"].startswith("absent")
    assert set(alone.data_vars) == {
        "token_mean",
        "token_std",
        "used",
        *(f"share_of_{x}{e}" for x in ("channels", "tokens") for e in ("", "_expected")),
    }
    xr.testing.assert_allclose(alone["token_std"], found["token_std"])


def test_pairs_of_channels_are_the_extremes(found):
    order = found["position_std"].argsort().values
    pairs = channel_pairs(found)
    assert pairs == {
        "upper": (order[-1], order[-2]),
        "mixed": (order[-1], order[0]),
        "lower": (order[0], order[1]),
    }
