import numpy as np
import pytest
import xarray as xr
from scipy import stats

from oracles import positions as slow
from strata.embedding import positions

OPTIONS = {"components": 3, "draws": 200, "resamples": 100, "interval": 0.95, "seed": 1}


def labelled(matrix):
    return xr.DataArray(matrix.astype("float32"), dims=("position", "channel"))


def describe(matrix, upper, **options):
    return positions.describe(labelled(matrix), xr.DataArray(upper, dims="channel"), **OPTIONS | options)


def test_sinusoids_are_recovered():
    found = positions.best_sinusoid(slow.sinusoids())
    amplitude, frequency, phase = np.array(slow.CHANNELS).T
    np.testing.assert_allclose(found["best_frequency"], frequency, atol=1e-12)
    np.testing.assert_allclose(found["explained"], 1, atol=1e-9)
    np.testing.assert_allclose(found["amplitude"], amplitude, rtol=1e-6)
    np.testing.assert_allclose(found["phase"], phase, atol=1e-6)


def test_fits_equal_lomb_and_scargles():
    rng = np.random.default_rng(0)
    series = np.concatenate([rng.normal(size=(61, 6)), rng.normal(size=(61, 6)).cumsum(0)], axis=1)
    found = positions.best_sinusoid(series)
    for column, one in enumerate(series.T):
        frequency, explained = slow.best_sinusoid(one)
        assert found["best_frequency"][column] == pytest.approx(frequency)
        assert found["explained"][column] == pytest.approx(explained, abs=1e-8)


@pytest.mark.long
def test_a_sinusoid_in_noise_explains_its_share():
    """Variance of the wave 2, of the noise 1."""
    rng = np.random.default_rng(0)
    t = np.arange(2000)[:, None]
    series = 2 * np.cos(2 * np.pi * 0.11 * t + rng.uniform(0, 6, 20)) + rng.normal(size=(2000, 20))
    found = positions.best_sinusoid(series)
    np.testing.assert_allclose(found["best_frequency"], 0.11, atol=1e-4)
    assert found["explained"].mean() == pytest.approx(2 / 3, abs=0.02)
    np.testing.assert_allclose(found["amplitude"], 2, atol=0.15)


def test_a_constant_has_nothing_to_explain():
    series = np.stack([np.full(20, 3.0), np.arange(20.0)], axis=1)
    assert positions.best_sinusoid(series)["explained"][0] == 0
    assert positions.spectrum(series)[:, 0].sum() == 0
    with pytest.raises(ValueError, match="four positions"):
        positions.best_sinusoid(series[:3])


@pytest.mark.parametrize("n", [24, 25])
def test_spectra_and_autocorrelations_equal_their_definitions(n):
    matrix = np.random.default_rng(n).normal(size=(n, 4)).astype("float32")
    found = describe(matrix, [True, True, False, False])
    assert found["spectrum"].dims == ("channel", "frequency")
    np.testing.assert_allclose(found["frequency"], np.arange(1, n // 2 + 1) / n)
    for channel in range(4):
        at = found.sel(channel=channel)
        np.testing.assert_allclose(at["spectrum"], slow.share_of_spectrum(matrix[:, channel]), atol=1e-6)
        expected = slow.autocorrelation(matrix[:, channel].astype(float))
        assert float(at["autocorrelation"]) == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(found["norm"], [np.sqrt((row**2).sum()) for row in matrix], rtol=1e-6)


def test_a_helix_has_two_sinusoidal_components():
    """Channels turn at 2 cycles in all, the others at 5, of a fifth of the amplitude."""
    rng = np.random.default_rng(0)
    t = np.arange(120)[:, None] / 120
    large = np.cos(2 * np.pi * 2 * t + rng.uniform(0, 6.3, 30))
    small = 0.2 * np.cos(2 * np.pi * 5 * t + rng.uniform(0, 6.3, 50))
    found = describe(np.concatenate([large, small], axis=1), np.arange(80) < 30)
    np.testing.assert_allclose(120 * found["component_frequency"], [2, 2, 5], atol=1e-6)
    np.testing.assert_allclose(found["component_explained"], 1, atol=1e-6)
    assert float(found["component_share"][:2].sum()) == pytest.approx(30 / (30 + 50 / 25), abs=0.01)
    for name in ("mean_explained", "beyond_noise"):
        np.testing.assert_allclose(found[name], 1, atol=1e-6)
    np.testing.assert_allclose(
        found["mean_autocorrelation"], np.cos(2 * np.pi * np.array([2, 5]) / 120), atol=0.02
    )
    np.testing.assert_allclose(found["mean_autocorrelation_n"], [30, 50])
    assert (found["beyond_walk"] > 0.9).all()


def one_in_twenty(share, n=600):
    """Exact binomial test."""
    return stats.binomtest(round(float(share.mean()) * n), n, 0.05).pvalue > 0.01


def test_noise_is_no_sinusoid():
    """One in twenty lies beyond the 95 % quantile of its like."""
    found = describe(np.random.default_rng(3).normal(size=(64, 600)), np.arange(600) < 300, draws=2000)
    assert one_in_twenty(found["beyond_noise"])
    assert (found["beyond_walk"] == 0).all()
    assert found["component_explained"].max() < 0.5
    assert (abs(found["mean_autocorrelation"] + 1 / 64) < 0.03).all()


def test_a_random_walk_is_smooth_and_no_sinusoid():
    walks = np.random.default_rng(3).normal(size=(64, 600)).cumsum(0)
    found = describe(walks, np.arange(600) < 300, draws=2000)
    assert (found["beyond_noise"] > 0.95).all()
    assert one_in_twenty(found["beyond_walk"])
    assert (found["mean_autocorrelation"] > 0.8).all()


def test_groups_are_told_apart_and_may_be_empty():
    matrix = np.concatenate([slow.sinusoids(), np.random.default_rng(0).normal(size=(slow.N, 40))], axis=1)
    found = describe(matrix, np.arange(44) < 4)
    upper, lower = (found.sel(channel_set=name) for name in ("upper", "lower"))
    assert float(upper["mean_explained"]) == pytest.approx(1, abs=1e-6)
    assert float(lower["mean_explained_high"]) < 0.3
    empty = describe(matrix, np.zeros(44, bool))
    assert empty["mean_explained"].sel(channel_set="upper").isnull()
    assert int(empty["mean_explained_n"].sel(channel_set="upper")) == 0


def test_no_position_matrix_says_so():
    found = positions.describe(None, None, **OPTIONS)
    assert not found.data_vars and found.attrs["position_embedding"].startswith("absent")
