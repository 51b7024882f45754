import numpy as np
import pytest
import xarray as xr

from oracles import attention as slow
from strata.attention.outsized import outsized_channels
from strata.embedding.channels import position_active
from strata.embedding.gains import gain_outliers

C, BIG, EVERYWHERE, SMALL, ONCE = 200, [3, 40, 41], 90, 150, 12


def make_channels(seed=0, rotary=False):
    """Channels 3, 40 and 41 are outsized at the first position of depths 2 to 5 of 6; 90 is large everywhere,
    150 small at the first position and smaller yet elsewhere.

    Channel 3's gain is turned down in norm 1, 40's up in norm 2; 41 is active in the position embedding.
    At depth 4 the first position's state is ten times as large in every channel.
    """
    rng = np.random.default_rng(seed)
    first, others = np.exp(0.1 * rng.normal(size=(2, 7, C)))
    first[2:6, BIG] *= 30
    first[:, EVERYWHERE] *= 30
    others[:, EVERYWHERE] *= 30
    first[:, SMALL] *= 0.2
    others[:, SMALL] *= 0.005
    first[4] *= 10
    in_text = xr.Dataset(
        {
            "magnitude_first": (("depth", "channel"), first),
            "magnitude_others": (("depth", "channel"), others),
        },
        {"depth": np.arange(7), "channel": np.arange(C)},
    )
    gains = np.exp(0.1 * rng.normal(size=(2, 6, C)))
    gains[0, :5, BIG[0]] = 0.02
    gains[1, 1:, BIG[1]] = 9
    gains[0, 5, ONCE] = 40  # in one layer of six
    weights = xr.Dataset({f"norm{i + 1}_gain": (("layer", "channel"), gains[i]) for i in range(2)})
    if not rotary:
        spread = np.where(np.isin(np.arange(C), [*range(50, 110), BIG[2]]), 1.0, 0.02)
        spread = spread * np.exp(0.2 * rng.normal(size=C))
        weights["position_embedding"] = (("position", "channel"), rng.normal(size=(64, C)) * spread)
    return in_text, weights


RULE = {"among_channels": 5, "among_positions": 5, "share": 0.5}


def members(found, name):
    return np.flatnonzero(found["in_set"].sel(channel_set=name).values).tolist()


def test_outsized_channels_are_found_and_known():
    in_text, weights = make_channels()
    found = outsized_channels(in_text, weights, **RULE)
    for depth in range(7):
        expected = BIG if 2 <= depth <= 5 else []
        assert np.flatnonzero(found["outsized"].sel(depth=depth)).tolist() == expected
    assert np.flatnonzero(found["outsized_overall"]).tolist() == BIG
    assert members(found, "norm1_gain") == [BIG[0]] and members(found, "norm2_gain") == [BIG[1]]
    assert members(found, "position") == [BIG[2], *range(50, 110)]
    assert "two groups" in found.attrs["position_set"]
    at = found.sel(channel_set="norm1_gain", channel=[BIG[0], ONCE])
    np.testing.assert_allclose(at["outlier_layers"], [5 / 6, 1 / 6], atol=1e-6)
    for name, n_set in {"norm1_gain": 1, "norm2_gain": 1, "position": 61}.items():
        at = found.sel(channel_set=name)
        assert int(at["n_overlap_overall"]) == 1
        assert float(at["n_expected_overall"]) == pytest.approx(n_set * 3 / C)
        expected = slow.chance_of_overlap(1, C, n_set, 3)
        assert float(at["p_overlap_overall"]) == pytest.approx(expected, rel=1e-5)
        assert at["n_overlap"].values.tolist() == [0, 0, 1, 1, 1, 1, 0]
        assert float(at["p_overlap"].sel(depth=3)) == pytest.approx(expected, rel=1e-5)
        assert at["p_overlap"].notnull().values.tolist() == [False, False, True, True, True, True, False]
    p = found["p_overlap_overall"]
    holm = np.maximum.accumulate(np.sort(p) * [3, 2, 1]).clip(max=1)
    np.testing.assert_allclose(np.sort(found["p_overlap_overall_adjusted"]), holm, rtol=1e-5)


def test_a_channel_has_to_be_outsized_often_enough():
    in_text, weights = make_channels()
    # At 4 of the 6 depths after the first.
    often = outsized_channels(in_text, weights, **RULE | {"share": 0.6})
    assert np.flatnonzero(often["outsized_overall"]).tolist() == BIG
    rare = outsized_channels(in_text, weights, **RULE | {"share": 0.7})
    assert not rare["outsized_overall"].any() and members(rare, "norm1_gain") == [BIG[0]]
    assert rare["p_overlap_overall"].isnull().all(), "nothing is outsized: there is no test"
    once = outsized_channels(in_text, weights, **RULE | {"share": 0.1})
    assert members(once, "norm1_gain") == [BIG[0], ONCE]
    for share in (0, 1.1):
        with pytest.raises(ValueError, match=f"share is .* not {share}"):
            outsized_channels(in_text, weights, **RULE | {"share": share})


def test_a_model_without_position_embeddings_says_so():
    found = outsized_channels(*make_channels(rotary=True), **RULE)
    assert found.attrs["position_set"] == "no position embedding"
    assert members(found, "position") == [] and found["p_overlap"].sel(channel_set="position").isnull().all()
    assert found["p_overlap_overall_adjusted"].attrs["family"] == "p_overlap_overall: 2 (Holm)"


def test_nothing_is_found_in_random_weights():
    rng = np.random.default_rng(1)
    gain = xr.DataArray(np.exp(0.3 * rng.normal(size=(40, 500))), dims=("layer", "channel"))
    # 3.5 standard deviations, both sides: 1 in 2,100.
    assert gain_outliers(gain).mean() < 2e-3
    for seed in range(20):
        drawn = np.random.default_rng(seed)
        spread = np.exp(0.3 * drawn.normal(size=300))
        embedding = xr.DataArray(drawn.normal(size=(128, 300)) * spread, dims=("position", "channel"))
        active, told = position_active(embedding)
        assert not active.any() and told.startswith("no two groups")


def test_gain_outliers_are_either_way_and_of_either_sign():
    gain = np.exp(0.1 * np.random.default_rng(0).normal(size=(1, 100)))
    gain[0, :4] = 0.01, 50, -50, 0
    gain[0, 4] = -1  # of ordinary size
    found = gain_outliers(xr.DataArray(gain, dims=("layer", "channel")))
    assert np.flatnonzero(found).tolist() == [0, 1, 2, 3]


def test_a_model_with_one_norm_a_block_has_no_channels_of_the_other():
    in_text, weights = make_channels()
    found = outsized_channels(in_text, weights.drop_vars("norm2_gain"), **RULE)
    assert members(found, "norm2_gain") == []
    assert found["outlier_layers"].sel(channel_set="norm2_gain").isnull().all()
    both = outsized_channels(in_text, weights, **RULE)
    assert members(found, "norm1_gain") == members(both, "norm1_gain") != []
