import numpy as np
import pytest
import xarray as xr
from scipy import stats

from oracles import channels as slow
from strata.embedding import channels, gains

OPTIONS = {"resamples": 100, "interval": 0.95, "seed": 1}


def described(weights):
    few = OPTIONS | {"resamples": 2}  # intervals of channels are not looked at here
    of_channels = channels.describe(weights["token_embedding"], weights.get("position_embedding"), **few)
    return gains.describe(weights, of_channels, shuffles=300, **OPTIONS), of_channels


@pytest.fixture(scope="module")
def weights():
    return slow.planted()


@pytest.fixture(scope="module")
def found(weights):
    return described(weights)


def test_gains_are_the_weights(weights, found):
    log_gain = found[0]["log_gain"]
    assert log_gain.dims == ("norm", "layer", "channel")
    for norm in gains.NORMS:
        np.testing.assert_allclose(
            10 ** log_gain.sel(norm=norm), abs(weights[norm].values), rtol=1e-6, err_msg=norm
        )


def test_the_planted_dial_down_is_found(found):
    """Layer 0's first norm turns the sixty channels down to a quarter, and nothing else does."""
    ratio, low, high = (found[0][f"ratio{end}"] for end in ("", "_low", "_high"))
    first = {"norm": "norm1_gain", "layer": 0}
    assert float(ratio.sel(first)) == pytest.approx(0.25, abs=0.01)
    assert low.sel(first) < 0.25 < high.sel(first) < 0.3
    elsewhere = ratio.stack(at=("norm", "layer")).values[1:]
    np.testing.assert_allclose(elsewhere, 1, atol=0.06)
    # Two groups of 60 and 240 in opposite order, in no order within: -3 * 60 * 240 / 300^2.
    assert float(found[0]["rho"].sel(first)) == pytest.approx(-0.48, abs=0.1)
    assert float(found[0]["rho_p"].sel(first)) < 1e-10


def test_correlations_and_ratios_equal_the_loop(weights, found):
    result, of_channels = found
    std, upper = of_channels["position_std"].values, of_channels["upper"].values
    for norm in gains.NORMS:
        for layer in (0, 3):
            gain = abs(weights[norm].values[layer].astype(float))
            at = result.sel(norm=norm, layer=layer)
            assert float(at["rho"]) == pytest.approx(slow.spearman(gain, std))
            assert float(at["rho_p"]) == pytest.approx(stats.spearmanr(gain, std).pvalue)
            ratio = sorted(gain[upper])[29:31], sorted(gain[~upper])[119:121]
            assert float(at["ratio"]) == pytest.approx(sum(ratio[0]) / sum(ratio[1]))


def test_planted_outliers_lead_the_ranking(found):
    result, of_channels = found
    table = gains.outlier_table(result, of_channels)
    assert table["channel"].tolist()[:2] == [7, 210] and table["rank"].tolist() == [*range(1, len(table) + 1)]
    assert table["outlier_layers"].is_monotonic_decreasing and (table["outlier_layers"] > 0).all()
    first, second = table.iloc[0], table.iloc[1]
    assert first["outlier_layers_norm1_gain"] >= 5 and second["outlier_layers_norm1_gain"] >= 4
    assert first["median_log_gain_norm1_gain"] == pytest.approx(np.log10(20), abs=0.03)
    assert (bool(first["position_active"]), bool(second["position_active"])) == (False, True)
    assert first["position_std"] == pytest.approx(float(of_channels["position_std"][7]))
    for name in ("p", "p_adjusted"):
        assert table[name].tolist()[:2] == pytest.approx([1 / 301] * 2)
    assert (table["p"] <= table["p_adjusted"]).all()
    assert set(table["family"]) == {"recurrence_p: 300 (Westfall-Young)"}
    counts = result["outlier"].sum(("norm", "layer"))
    assert dict(zip(table["channel"], table["outlier_layers"], strict=True)) == {
        c: int(counts[c]) for c in np.flatnonzero(counts)
    }


@pytest.mark.long
def test_in_noise_nothing_recurs_and_nothing_correlates():
    recurrent, p = [], []
    for seed in range(8):
        result, of_channels = described(slow.random(seed))
        recurrent.append(float(result["recurrence_p_adjusted"].min()))
        p += result["rho_p"].values.ravel().tolist()
        covered = (result["ratio_low"] < 1) & (result["ratio_high"] > 1)
        assert covered.mean() > 0.7
    assert np.mean(np.array(recurrent) < 0.05) <= 0.25
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_chance_of_recurrence_is_that_of_counting():
    """Two layers with one outlier each of five channels: the same one with a chance of one in five.

    That it is a given channel, one in twenty-five.
    """
    outlier = np.zeros((2, 5), bool)
    outlier[:, 3] = True
    for found, chance in zip(gains.recurrence(outlier, 4000, 0), (0.04, 0.2), strict=True):
        assert found[3] == pytest.approx(chance, abs=0.02) and (np.delete(found, 3) == 1).all()
    assert (np.array(gains.recurrence(np.zeros((2, 5), bool), 10, 0)) == 1).all()


def test_gains_that_are_all_one_have_no_correlation(weights):
    ones = weights.assign({norm: xr.ones_like(weights[norm]) for norm in gains.NORMS})
    result, of_channels = described(ones)
    assert result["rho"].isnull().all() and (result["ratio"] == 1).all() and not result["outlier"].any()
    assert gains.outlier_table(result, of_channels).empty


def test_what_a_model_lacks_is_said(weights, found):
    result, of_channels = described(weights.drop_vars("position_embedding"))
    assert result.attrs["position_embedding"].startswith("absent") and "rho" not in result
    xr.testing.assert_identical(result["outlier"], found[0]["outlier"])
    table = gains.outlier_table(result, of_channels)
    assert table["channel"].tolist()[:2] == [7, 210]
    assert table[["position_std", "position_active"]].isnull().all(axis=None)
    result, of_channels = described(weights.drop_vars("norm2_gain"))
    assert result["norm"].values.tolist() == ["norm1_gain"]
    xr.testing.assert_identical(result["log_gain"], found[0]["log_gain"].sel(norm=["norm1_gain"]))
    assert "outlier_layers_norm2_gain" not in gains.outlier_table(result, of_channels)
    result, of_channels = described(weights.drop_vars(list(gains.NORMS)))
    assert not result.data_vars and result.attrs["gains"].startswith("absent")
    assert gains.outlier_table(result, of_channels).empty
