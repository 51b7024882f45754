import numpy as np
import pytest
import xarray as xr
from scipy import stats

from strata.embedding.component_properties import spearman_interval
from strata.embedding.directions import along_by_length, overlap_with_positions

SETTINGS = {"draws": 2000, "interval": 0.95, "seed": 0}


def positions(matrix):
    return xr.DataArray(matrix, dims=("position", "channel"))


def tokens(matrix):
    return xr.DataArray(matrix, dims=("vocab", "channel"))


def test_shares_of_a_planted_position_embedding_are_those_on_paper():
    """Positions move by ±1 along channel 0 and by ±3 along channel 1, about a mean (0, 0, 4, 3, 0, ...)."""
    matrix = np.zeros((8, 20))
    matrix[:, 0] = np.tile([1, -1], 4)
    matrix[:, 1] = np.repeat([3, -3], 4)
    matrix[:, 2:4] += [4, 3]
    found = overlap_with_positions(np.eye(20)[:5], positions(matrix), **SETTINGS)
    np.testing.assert_allclose(found["position_variance_share"], [0.1, 0.9, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found["position_mean_share"], [0, 0, 0.64, 0.36, 0], atol=1e-12)
    assert found["position_variance_share_p"][1] < 0.01 and found["position_mean_share_p"][2] < 0.01
    assert (found["position_variance_share_p"][2:] == 1).all()
    # A random direction has 1/20 of either on average.
    assert 0.05 < float(found["position_variance_share_random"]) < 0.9


def test_random_directions_are_no_exception():
    rng = np.random.default_rng(0)
    embedding = positions(rng.normal(size=(30, 16)) * np.arange(1, 17) + rng.normal(size=16) * 5)
    above = {"variance": [], "mean": []}
    for seed in range(20):
        directions = np.random.default_rng(seed).normal(size=(15, 16))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        found = overlap_with_positions(directions, embedding, **SETTINGS | {"draws": 400, "seed": seed})
        for name, hits in above.items():
            share = found[f"position_{name}_share"] > found[f"position_{name}_share_random"]
            hits.extend(share.values.ravel().tolist())
    for hits in above.values():
        assert len(hits) == 300  # 5 % of them, give or take three standard errors
        assert abs(np.mean(hits) - 0.05) < 3 * np.sqrt(0.05 * 0.95 / 300)


def test_fewer_positions_than_channels_leave_directions_with_nothing():
    matrix = np.zeros((2, 50))
    matrix[:, 0] = [1, -1]
    matrix[:, 1] = 1
    found = overlap_with_positions(np.eye(50)[:1], positions(matrix), **SETTINGS)
    assert float(found["position_variance_share"][0]) == pytest.approx(1)
    # All variance is along one direction: a beta distribution, as of the mean.
    expected = stats.beta.ppf(0.95, 0.5, 24.5)
    assert float(found["position_mean_share_random"]) == pytest.approx(expected)
    assert float(found["position_variance_share_random"]) == pytest.approx(expected, rel=0.1)


def test_longer_copies_lie_along_a_direction_as_short_ones_do():
    rng = np.random.default_rng(1)
    unit = rng.normal(size=(4000, 10))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    found = along_by_length(tokens(unit * rng.lognormal(size=(4000, 1))), np.eye(10)[:3], interval=0.99)
    assert (found["cosine_rho_low"] < 0).all() and (found["cosine_rho_high"] > 0).all()
    # The mean |cosine| of random directions in 10 dimensions.
    mean = stats.beta(0.5, 4.5).expect(np.sqrt)
    assert ((found["cosine_long_low"] < mean) & (mean < found["cosine_long_high"])).all()
    assert int(found["n_long"]) == 40


def test_what_is_added_along_a_direction_is_found_there_and_missing_elsewhere():
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(2000, 6))
    matrix[:100, 0] += 20
    matrix[-1] = 0  # it has no direction
    found = along_by_length(tokens(matrix), np.eye(6), interval=0.95)
    length = np.linalg.norm(matrix[:-1], axis=1)
    cosine = abs(matrix[:-1]) / length[:, None]
    for component in range(6):
        expected = stats.spearmanr(cosine[:, component], length).statistic
        assert float(found["cosine_rho"][component]) == pytest.approx(expected)
    np.testing.assert_allclose(found["cosine_typical"], np.median(cosine, 0))
    np.testing.assert_allclose(found["cosine_long"], cosine[np.argsort(-length)[:20]].mean(0))
    assert found["cosine_long_low"][0] > 0.95 and (found["cosine_long_high"][1:] < 0.1).all()
    assert found["cosine_rho"][0] > 0.05 and found["cosine_rho_p"][0] < 0.05


def test_the_interval_of_a_rank_correlation_covers():
    """Of normal pairs with correlation r, Spearman's is 6 / π asin(r / 2)."""
    expected = 6 / np.pi * np.arcsin(0.3)
    hits = 0
    for seed in range(300):
        x, y = np.random.default_rng(seed).multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], 80).T
        low, high = spearman_interval(stats.spearmanr(x, y).statistic, 80, 0.9)
        hits += low < expected < high
    assert abs(hits / 300 - 0.9) < 3 * np.sqrt(0.9 * 0.1 / 300)
