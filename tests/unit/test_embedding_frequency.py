import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oracles import frequency as slow
from strata.embedding import frequency
from strata.embedding.svd import decompose

STATISTICS = {"resamples": 200, "interval": 0.95, "seed": 0}


def values_of(rows, names=None):
    names = names or [f"f{i}" for i in range(len(rows))]
    return xr.DataArray(np.array(rows, float), dims=("feature", "vocab"), coords={"feature": names})


def analysed(weights, counts, outlier_channels=2, **changes):
    decomposition = decompose(weights["token_embedding"], weights["token_str"])
    settings = STATISTICS | changes
    return frequency.analyse(weights, decomposition, counts, outlier_channels=outlier_channels, **settings)


# Correlations -------------------------------------------------------------------------------


def test_correlations_equal_loops_plain_and_partial_with_ties():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 8, (4, 40)).astype(float)
    rows[1] += rows[0]
    rows[2] -= rows[0]
    found = frequency.rank_correlations(values_of(rows), resamples=5, interval=0.9, seed=0)["rho"]
    for i, j in ((0, 1), (1, 2), (3, 0)):
        pair = found.sel(feature=f"f{i}", other=f"f{j}")
        assert float(pair.sel(given="nothing")) == pytest.approx(slow.spearman(rows[i], rows[j]))
        rest = [k for k in range(4) if k not in (i, j)]
        for k in rest:
            expected = slow.partial(rows[i], rows[j], rows[k])
            assert float(pair.sel(given=f"f{k}")) == pytest.approx(expected)
        expected = slow.partial(rows[i], rows[j], *rows[rest])
        assert float(pair.sel(given="all others")) == pytest.approx(expected)
        assert np.isnan(pair.sel(given=f"f{i}")) and np.isnan(pair.sel(given=f"f{j}"))
    assert float(found.sel(feature="f0", other="f0", given="nothing")) == pytest.approx(1)


def test_each_resample_is_ranked_anew():
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 9, (3, 30)).astype(float)
    drawing = np.random.default_rng(7)
    for found in frequency._resampled(rows, 4, seed=7):
        drawn = rows[:, drawing.integers(30, size=30)]
        expected = [[slow.spearman(x, y) for y in drawn] for x in drawn]
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.long
def test_intervals_cover_the_planted_correlation():
    """Of normal variables with correlation r Spearman's is 6/pi asin(r/2) in the limit."""
    r, hits = 0.6, 0
    limit = 6 / np.pi * np.arcsin(r / 2)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(2, 200))
        rows = [x, r * x + np.sqrt(1 - r * r) * y]
        found = frequency.rank_correlations(values_of(rows), resamples=200, interval=0.9, seed=seed)
        pair = found.sel(feature="f0", other="f1", given="nothing")
        hits += float(pair["rho_low"]) < limit < float(pair["rho_high"])
    # Binomial of 100 at 0.9: 3 standard deviations are 9.
    assert 81 <= hits <= 99


def test_a_common_cause_is_taken_away():
    rng = np.random.default_rng(2)
    cause = rng.normal(size=3000)
    x, y = cause + 0.5 * rng.normal(size=(2, 3000))
    found = frequency.rank_correlations(values_of([x, y, cause], ["x", "y", "c"]), **STATISTICS)
    pair = found.sel(feature="x", other="y")
    assert float(pair["rho_low"].sel(given="nothing")) > 0.7
    # Ranks of normal variables are not quite linear in each other: a few hundredths may be left.
    assert abs(float(pair["rho"].sel(given="c"))) < 0.08
    assert float(pair["rho"].sel(given="all others")) == pytest.approx(float(pair["rho"].sel(given="c")))


def test_what_is_undefined_is_nan_and_no_warning():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 50))
    found = frequency.rank_correlations(values_of([x, y, 2 * x]), **STATISTICS)["rho"]
    assert np.isnan(found.sel(given="all others")).all()
    assert np.isnan(found.sel(feature="f0", other="f1", given="f2"))
    assert float(found.sel(feature="f0", other="f2", given="nothing")) == pytest.approx(1)
    constant = frequency.rank_correlations(values_of([x, np.ones(50)]), **STATISTICS)
    assert np.isnan(constant["rho"].sel(feature="f0", other="f1")).all()


# Features -----------------------------------------------------------------------------------


def test_channels_are_chosen_by_how_often_their_gain_is_an_outlier():
    rng = np.random.default_rng(0)
    gains = np.exp(0.05 * rng.uniform(-1, 1, size=(2, 5, 40)))
    gains[:, :, 7] = 9.0
    gains[0, :, 3] = 0.02
    gains[1, :2, 11] = 5.0
    gains[:, :, 20] = np.median(gains, axis=-1)
    names = ("norm1_gain", "norm2_gain")
    weights = xr.Dataset({name: (("layer", "channel"), g) for name, g in zip(names, gains, strict=True)})
    found = frequency.gain_channels(weights, n_outliers=2)
    assert np.flatnonzero(found["channel_role"] == "outlier").tolist() == [3, 7]
    assert found["outlying_share"][[7, 3, 11]].values.tolist() == [1.0, 0.5, 0.2]
    assert found["channel_role"][20] == "control"
    # Only three channels are an outlier anywhere: others are not called so for the number's sake.
    many = frequency.gain_channels(weights, n_outliers=10)
    assert np.flatnonzero(many["channel_role"] == "outlier").tolist() == [3, 7, 11]
    none = frequency.gain_channels(xr.ones_like(weights), n_outliers=3)
    assert not (none["channel_role"] == "outlier").any()
    # Of a family with one norm a block, that one; of one without such norms, nothing.
    first = frequency.gain_channels(weights[["norm1_gain"]], n_outliers=3)
    assert np.flatnonzero(first["channel_role"] == "outlier").tolist() == [3, 7]
    without = frequency.gain_channels(weights.drop_vars(names).assign(x=("channel", gains[0, 0])), 3)
    assert (without["channel_role"] == "").all() and without["outlying_share"].isnull().all()


def test_counts_are_matched_by_id_and_missing_rows_are_left_out():
    rng = np.random.default_rng(0)
    weights = slow.make_weights(rng.normal(size=(60, 6)), ids=np.arange(60)[::-1])
    counts = slow.make_counts(60, unseen=10)[:-5]  # the last five ids, the first five rows, are padding
    found = analysed(weights, counts)
    assert np.isnan(found["count"][:5]).all() and np.isnan(found["outlyingness"][:, :5]).all()
    assert found["count"].values[5:].tolist() == counts["count"].tolist()[::-1]
    assert found["n_tokens"].sel(token_set="all") == 55
    assert found["n_tokens"].sel(token_set="seen") == 50
    with pytest.raises(ValueError, match="no token"):
        analysed(weights, pd.DataFrame({"token_id": [900], "count": [3]}))


def test_features_are_what_they_are_called():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(200, 8)) - 2
    weights, counts = slow.make_weights(matrix), slow.make_counts(200, unseen=20)
    found = analysed(weights, counts)["value"]
    np.testing.assert_allclose(found.sel(feature="norm"), np.linalg.norm(matrix, axis=1), rtol=1e-5)
    mean = matrix.mean(0)
    np.testing.assert_allclose(
        found.sel(feature="mean direction"), matrix @ mean / np.linalg.norm(mean), rtol=1e-4, atol=1e-5
    )
    assert (found.sel(feature="SVD 0") > 0).mean() > 0.99, "along the mean"
    expected = np.log10(np.maximum(counts["count"], 0.1))
    np.testing.assert_allclose(found.sel(feature="log frequency"), expected, rtol=1e-6)
    assert found.sel(feature="token index").values.tolist() == list(range(200))


# The whole ----------------------------------------------------------------------------------


def planted(n_vocab=2000, n_channels=16, unseen=300, seed=0):
    """Frequency stands in one channel with an outlying gain, and in the length along the mean."""
    rng = np.random.default_rng(seed)
    counts = slow.make_counts(n_vocab, unseen=unseen)
    log = np.log10(counts["count"] + 1).to_numpy()
    matrix = 0.3 * rng.normal(size=(n_vocab, n_channels))
    matrix[:, 1] += 5 - log  # rare tokens lie further along the mean
    matrix[:, 5] += 0.5 * log
    gains = np.exp(0.05 * rng.normal(size=(2, 3, n_channels)))
    gains[:, :, 5] = 20.0
    return slow.make_weights(matrix, gains), counts


def test_planted_frequency_is_found_where_it_is():
    weights, counts = planted()
    found = analysed(weights, counts, outlier_channels=1)
    assert found["feature"].values.tolist()[-2] == "channel 5"
    for chosen in ("seen", "all"):
        plain = found["rho"].sel(token_set=chosen, feature="log frequency", given="nothing")
        assert plain.sel(other="channel 5") > 0.6
        assert plain.sel(other="norm") < -0.8 and plain.sel(other="SVD 0") < -0.8
        control = found["feature"].values[-1]
        low, high = (
            found[end].sel(token_set=chosen, feature="log frequency", given="nothing", other=control)
            for end in ("rho_low", "rho_high")
        )
        assert low < 0.06 and high > -0.06, "a control channel holds nothing"
        # The norm knows frequency through the mean direction alone.
        assert (
            abs(
                found["rho"].sel(
                    token_set=chosen, feature="log frequency", other="norm", given="mean direction"
                )
            )
            < 0.15
        )
        strongest = abs(found["channel_rho"].sel(token_set=chosen)).argsort().values[::-1]
        assert set(strongest[:2].tolist()) == {1, 5}
    assert float(found["unique_share"].sel(token_set="seen", feature="SVD 0")) < 0.1
    assert float(found["unique_share"].sel(token_set="seen", feature="token index")) > 0.95
    assert np.isnan(found["unique_share"].sel(feature="log frequency")).all()


@pytest.mark.long
def test_random_embeddings_hold_no_frequency():
    covered, total = 0, 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        weights = slow.make_weights(rng.normal(size=(400, 10)))
        found = analysed(weights, slow.make_counts(400, seed=seed + 50), resamples=300, seed=seed)
        row = found.sel(feature="log frequency", token_set="seen")
        for given in ("nothing", "all others"):
            part = row.sel(given=given).drop_sel(other="log frequency")
            covered += int(((part["rho_low"] < 0) & (part["rho_high"] > 0)).sum())
            total += part.sizes["other"]
    # Correlated among themselves, so a wide margin: 95% of the intervals hold 0.
    assert covered / total > 0.88


def test_tokens_that_stand_out_are_the_planted_ones():
    weights, counts = planted()
    matrix = weights["token_embedding"].values
    matrix[[40, 700], 3] += (25.0, -25.0)
    matrix[100, 1] += 9.0
    found = analysed(weights, counts, outlier_channels=1)["outlyingness"]
    norm = abs(found.sel(feature="norm")).values
    assert set(np.argsort(-norm)[:3]) == {40, 700, 100}
    mean = abs(found.sel(feature="mean direction")).values
    assert mean.argmax() == 100
    by_hand = found.sel(feature="norm").values
    values = np.linalg.norm(matrix, axis=1)
    never = values[-300:]
    spread = 1.4826 * np.median(abs(never - np.median(never)))
    np.testing.assert_allclose(by_hand[-300:], (never - np.median(never)) / spread, rtol=1e-3)


def test_table_has_every_correlation_once():
    weights, counts = planted(n_vocab=300, unseen=50)
    found = analysed(weights, counts, outlier_channels=1, resamples=20)
    table = frequency.table(found)
    names = found["feature"].values
    n = len(names)
    assert len(table) == 2 * (n * (n - 1) // 2) * n  # given nothing, each of n - 2, all others
    row = table[(table["tokens"] == "seen") & (table["x"] == "log frequency") & (table["y"] == "norm")]
    row = row[row["given"] == "mean direction"].iloc[0]
    cell = found.sel(token_set="seen", feature="log frequency", other="norm", given="mean direction")
    assert (row["rho"], row["low"], row["high"], row["n"]) == (
        *(float(cell[name]) for name in ("rho", "rho_low", "rho_high")),
        250,
    )


def test_netcdf_keeps_the_result(tmp_path):
    weights, counts = planted(n_vocab=300, unseen=50)
    found = analysed(weights, counts, resamples=10)
    found.to_netcdf(tmp_path / "f.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "f.nc", engine="h5netcdf") as back:
        xr.testing.assert_equal(back.load(), found)
