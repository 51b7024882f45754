import numpy as np
import pytest
import xarray as xr
from scipy import stats

from oracles import components as slow
from strata.embedding import component_properties, components, orthogonality
from strata.embedding.component_properties import separation_by_component
from strata.embedding.frequency import rank_correlations
from strata.embedding.svd import decompose
from strata.embedding.token_properties import describe_tokens, parts_of_speech
from strata.stats.nmf import factorise
from strata.stats.ranks import separation
from strata.stats.two_groups import one_mode_p, two_groups
from strata.text.tokens import is_text, plain_text

SETTINGS = {
    "components": 4,
    "nmf_tokens": 300,
    "peaks": 5,
    "least": 20,
    "sample": 200,
    "draws": 20,
    "interval": 0.95,
    "seed": 0,
}


def strings(*tokens):
    return xr.DataArray(np.array(tokens, dtype=object), dims="vocab")


# Tokens -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "text", "whole"),
    [
        ("Ġthe", " the", True),
        ("Ã©", "é", True),
        ("Ã", "\\xc3", False),
        ("▁the", " the", True),
        ("<0xE2>", "â", False),
        ("<0x0A>", "\n", True),
        ("word</w>", "word ", True),
        ("ï¿½", "�", True),
        ("國", "國", True),
    ],
)
def test_tokens_are_turned_into_text(token, text, whole):
    assert plain_text(token) == text
    assert is_text(token) == whole


def test_properties_by_hand():
    tokens = strings("Ġthe", "The", "ĠUSA", "ing", "Ġ42", "!!", "Ã", "Ðĸ", "Ġ", "aB", "ĠÙ£")
    found = describe_tokens(tokens, xr.DataArray([3, 0, 1, 1, 1, 1, 0, 1, 1, 1, np.nan], dims="vocab"))
    expected = {
        "leading space": "Ġthe ĠUSA Ġ42 Ġ ĠÙ£",
        "capitalised": "The",
        "upper case": "ĠUSA Ðĸ",
        "lower case": "Ġthe ing",
        "digits": "Ġ42 ĠÙ£",
        "punctuation": "!!",
        "fragment": "The ing Ðĸ aB",
        "not text": "Ã",
        "never seen": "The Ã",
    }
    for name, has in expected.items():
        flagged = tokens.values[found["flag"].sel(property=name).values]
        assert flagged.tolist() == has.split(" "), name
    assert found["length"].values[:6].tolist() == [3, 3, 3, 3, 2, 2] and np.isnan(found["length"][6])
    assert found["script"].values.tolist() == ["latin"] * 4 + ["", "", "", "cyrillic", "", "latin", ""]
    assert "part_of_speech" not in found


def test_without_marked_spaces_nothing_is_a_fragment():
    found = describe_tokens(strings("the", "ing"))
    assert not found["flag"].sel(property=["leading space", "fragment"]).any()
    assert "never seen" not in found["property"]


def test_parts_of_speech_are_those_of_whole_unambiguous_words():
    words = {"the": {"DET"}, "dog": {"NOUN"}, "that": {"DET", "SCONJ"}, "Anna": {"PROPN"}, ".": {"PUNCT"}}
    tokens = strings("Ġthe", "The", "the", "Ġthat", "ĠAnna", "Anna", "Ġdogs", ".", "ĠThe")
    found = parts_of_speech(tokens, words).values.tolist()
    assert found == ["det", "det", "", "", "propn", "propn", "", "", ""]


# Two groups ---------------------------------------------------------------------------------


def test_planted_groups_are_recovered():
    rng = np.random.default_rng(0)
    upper = rng.random(4000) < 0.25
    found = two_groups(np.where(upper, rng.normal(5, 0.5, 4000), rng.normal(2, 1, 4000)))
    np.testing.assert_allclose(found.means, [2, 5], atol=0.1)
    np.testing.assert_allclose(found.deviations, [1, 0.5], atol=0.08)
    np.testing.assert_allclose(found.weights, [0.75, 0.25], atol=0.03)
    assert found.distance == pytest.approx(3 * np.sqrt(2 / 1.25), abs=0.2)
    x = np.linspace(2, 5, 20001)
    density = 0.75 * stats.norm.pdf(x, 2, 1) + 0.25 * stats.norm.pdf(x, 5, 0.5)
    lowest = density.argmin()
    expected = density[lowest] / min(density[:lowest].max(), density[lowest:].max())
    assert found.valley == pytest.approx(expected, abs=0.05)
    assert found.two
    assert (found.is_upper(np.array([1.0, 5.0])) == [False, True]).all()


@pytest.mark.parametrize("draw", ["normal", "exponential", "uniform", "laplace", "lognormal"])
def test_one_hump_is_not_two_groups(draw):
    for seed in range(5):
        values = getattr(np.random.default_rng(seed), draw)(size=2000)
        assert not two_groups(values).two


def test_the_test_for_one_mode_is_rarely_wrong_and_sees_two():
    flat = np.array([one_mode_p(np.random.default_rng(seed + 9).random(700)) for seed in range(100)])
    assert (flat < 0.05).sum() <= 5 + 3 * np.sqrt(100 * 0.05 * 0.95)
    assert 0.4 < flat.mean() < 0.6
    rng = np.random.default_rng(0)
    # Two normals three deviations apart dip, two that are one and a half apart do not.
    upper = rng.random(3000) < 0.5
    assert one_mode_p(rng.normal(size=3000) + 3 * upper) < 0.01
    assert one_mode_p(rng.normal(size=3000) + 1.5 * upper) > 0.05


# NMF ----------------------------------------------------------------------------------------


def test_amounts_of_planted_parts_are_recovered_for_tokens_not_fitted():
    rng = np.random.default_rng(7)
    parts = np.zeros((3, 9))
    for i, part in enumerate(parts):
        part[3 * i : 3 * i + 3] = [2, -1, 0.5]
    amounts = rng.random((400, 3)) * (rng.random((400, 3)) < 0.5) * [1, 5, 2]
    factors = factorise((amounts @ parts)[:300], 3, seed=0, iterations=300)
    found = factors.amounts(amounts @ parts, tile=64)
    for i, j in enumerate((1, 2, 0)):  # what carries most comes first
        assert np.corrcoef(found[:, i], amounts[:, j])[0, 1] > 0.999


# Cosines ------------------------------------------------------------------------------------


def test_moments_of_all_pairs_equal_loops():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(30, 5)) + 0.5
    found = orthogonality.cosines(
        xr.DataArray(matrix, dims=("vocab", "channel")), sample=99, interval=0.9, seed=0, tile=7
    )
    for kind, rows in (("raw", matrix), ("centred", matrix - matrix.mean(0))):
        pairs = np.array(slow.cosines(rows))
        at = found.sel(vectors=kind)
        assert float(at["mean_cosine"]) == pytest.approx(pairs.mean())
        assert float(at["rms_cosine"]) == pytest.approx(np.sqrt((pairs**2).mean()))
        assert float(at["largest"]) == pytest.approx(abs(pairs).max())
        expected = [(abs(pairs) > t).mean() for t in orthogonality.THRESHOLDS]
        np.testing.assert_allclose(at["share_above"], expected)
        # The sample is the whole: nothing is left to chance.
        np.testing.assert_allclose(at["share_above_low"], at["share_above_high"])
        assert float(at["density"].sum()) * 2 / 400 == pytest.approx(1)
        variances = np.linalg.eigvalsh(rows.T @ rows)
        assert float(at["participation_ratio"]) == pytest.approx(variances.sum() ** 2 / (variances**2).sum())


def test_random_embeddings_are_as_orthogonal_as_random_vectors():
    rng = np.random.default_rng(1)
    matrix = xr.DataArray(rng.normal(size=(1500, 48)), dims=("vocab", "channel"))
    found = orthogonality.cosines(matrix, sample=800, interval=0.99, seed=0)
    assert float(found["expected_rms"]) == pytest.approx(48**-0.5)
    for kind in ("raw", "centred", "random"):
        at = found.sel(vectors=kind)
        assert float(at["rms_cosine"]) == pytest.approx(48**-0.5, rel=0.02)
        assert float(at["effective_dimension"]) == pytest.approx(48, rel=0.04)
        np.testing.assert_allclose(at["share_above"][:2], found["expected_share"][:2], rtol=0.08)
        assert float(at["largest"]) == pytest.approx(float(found["expected_largest"]), abs=0.06)


def test_a_common_mean_is_no_orthogonality_and_centring_takes_it_away():
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(1000, 32))
    matrix[:, 0] += 12
    found = orthogonality.cosines(
        xr.DataArray(matrix, dims=("vocab", "channel")), sample=300, interval=0.95, seed=0
    )
    # 144 / (144 + 32) on paper.
    assert float(found["mean_cosine"].sel(vectors="raw")) == pytest.approx(144 / 176, abs=0.02)
    assert abs(float(found["mean_cosine"].sel(vectors="centred"))) < 0.01
    assert float(found["effective_dimension"].sel(vectors="centred")) == pytest.approx(32, rel=0.05)


def test_largest_of_random_is_the_median_of_simulated_ones():
    rng = np.random.default_rng(0)
    largest = [orthogonality.between(rng.normal(size=(40, 20)))[1] for _ in range(400)]
    below = np.mean(np.array(largest) < orthogonality.largest_of_random(40, 20))
    assert abs(below - 0.5) < 3 * 0.5 / np.sqrt(400)


def test_the_interval_of_a_share_covers_that_of_all_pairs():
    rng = np.random.default_rng(3)
    matrix = xr.DataArray(rng.normal(size=(600, 8)) * np.arange(1, 9), dims=("vocab", "channel"))
    whole = orthogonality.cosines(matrix, sample=600, interval=0.9, seed=0)["share_above"].sel(vectors="raw")
    hits = 0
    for seed in range(100):
        part = orthogonality.cosines(matrix, sample=100, interval=0.9, seed=seed).sel(vectors="raw")
        hits += (part["share_above_low"] < whole) & (whole < part["share_above_high"])
    assert (hits >= 81).all() and (hits <= 99).all()


def test_no_directions_are_refused():
    with pytest.raises(ValueError, match="2 tokens have an embedding"):
        matrix = xr.DataArray(np.eye(5)[[0, 1]] * [[1], [1]], dims=("vocab", "channel"))
        orthogonality.cosines(matrix, sample=9, interval=0.9, seed=0)


# What components tell -----------------------------------------------------------------------


def planted(n_vocab=1500, n_channels=24, signal=1.0, seed=0):
    """A mean; leading space along one direction, three classes along another, length along a third.

    The last 200 tokens were never seen. Without ``signal`` there is noise alone.
    """
    rng = np.random.default_rng(seed)
    space = rng.random(n_vocab) < 0.55
    length = rng.integers(2, 9, n_vocab)
    script = rng.integers(0, 3, n_vocab)
    letters = "aαя"
    plain = [letters[s] * n for s, n in zip(script, length, strict=True)]
    tokens = strings(*[("▁" if spaced else "") + word for spaced, word in zip(space, plain, strict=True)])
    count = np.where(np.arange(n_vocab) < n_vocab - 200, 1.0 + np.arange(n_vocab)[::-1], 0.0)
    matrix = rng.normal(0, 0.3, (n_vocab, n_channels))
    matrix[:, 0] += 10 * signal
    matrix[:, 1] += signal * np.where(space, 3.0, -3.0)
    matrix[:, 2] += signal * 1.5 * (script - 1)
    matrix[:, 3] += signal * 0.3 * (length - 5)
    ids = np.arange(n_vocab)
    embedding = xr.DataArray(
        matrix.astype("float32"),
        dims=("vocab", "channel"),
        coords={"token_id": ("vocab", ids), "token_str": ("vocab", tokens.values)},
    )
    return embedding, embedding["token_str"], xr.DataArray(count, dims="vocab"), space, script, length


def analysed(embedding, token_str, count, **changes):
    properties = describe_tokens(token_str, count)
    decomposition = decompose(embedding, token_str)
    return components.analyse(embedding, decomposition, properties, count, **SETTINGS | changes)


@pytest.fixture(scope="module")
def found():
    return analysed(*planted()[:3])


def test_planted_properties_are_found_in_their_components(found):
    for chosen in ("all", "seen"):
        at = found.sel(token_set=chosen, basis="svd")
        distance = abs(at["auc"] - 0.5)
        assert distance.sel(component=1, property="leading space") > 0.499
        assert at["eta2"].sel(component=2, classes="script") > 0.8
        assert abs(at["rho_length"].sel(component=3)) > 0.8
        assert at["auc_p"].sel(component=1, property="leading space") < 1e-7
        assert at["auc_p_adjusted"].sel(component=1, property="leading space") < 1e-6
        assert at["eta2_p"].sel(component=2, classes="script") < 1e-6
        assert at["rho_length_p"].sel(component=3) < 1e-6
        # The components that were not told stay below what random directions reach.
        assert distance.sel(component=3, property="leading space") < at["auc_random"].sel(
            property="leading space"
        )
    classes = dict(zip(found["property"].values, found["property_classes"].values, strict=True))
    assert classes["greek"] == classes["cyrillic"] == classes["latin"] == "script"
    assert classes["leading space"] == ""


def test_numbers_equal_loops(found):
    embedding, _, _, space, script, length = planted()
    score = found["score"].sel(basis="svd", component=2).values
    at = found.sel(token_set="all", basis="svd", component=2)
    some = slice(None)
    assert float(at["auc"].sel(property="leading space")) == pytest.approx(slow.auc(score, space))
    reach = stats.norm.ppf(0.975) * slow.auc_error(score, space)
    low, high = (float(at[f"auc_{end}"].sel(property="leading space")) for end in ("low", "high"))
    assert (high - low) / 2 == pytest.approx(reach, rel=1e-6)
    assert float(at["eta2"].sel(classes="script")) == pytest.approx(slow.eta_squared(score, script))
    assert float(at["rho_length"]) == pytest.approx(stats.spearmanr(score, length[some]).statistic)


def test_planted_groups_are_told_by_their_property(found):
    for chosen in ("all", "seen"):
        at = found.sel(token_set=chosen)
        # The three scripts along component 2 are more than one group as well; lengths are not.
        assert at["two_groups"].values.astype(bool).tolist() == [False, True, True, False]
        agreement = float(at["groups_agreement"].sel(component=1, property="leading space"))
        assert abs(agreement - 0.5) > 0.495
        assert abs(float(at["groups_agreement"].sel(component=3, property="leading space")) - 0.5) < 0.1
        # Means at ±3 and a spread of 0.3: Ashman's D is 20.
        assert float(at["groups_distance"].sel(component=1)) == pytest.approx(20, rel=0.06)


def test_peaks_are_the_outermost_tokens(found):
    score = found["score"].sel(basis="svd", component=1).values
    order = np.argsort(-score)
    at = found.sel(token_set="all", component=1)
    assert at["peak_id"].sel(basis="svd", end="high").values.tolist() == order[:5].tolist()
    assert at["peak_id"].sel(basis="svd", end="low").values.tolist() == order[::-1][:5].tolist()
    assert (at["peak_id"].sel(basis="nmf", end="low") == -1).all()
    seen = found.sel(token_set="seen")["peak_id"].values
    assert seen.max() < 1300, "tokens never seen are not among those seen"
    strings = found["token_str"].values
    assert at["peak_str"].sel(basis="svd", end="high").values.tolist() == strings[order[:5]].tolist()


def test_components_of_the_svd_are_orthogonal_and_explain_the_most(found):
    svd, nmf = found["direction_largest"].values
    assert svd < 1e-6 < nmf
    first, second = found["explained"].values
    assert 0 < second < first + 0.01 <= 1.01
    np.testing.assert_allclose(np.linalg.norm(found["direction"], axis=-1), 1)


@pytest.mark.long
def test_a_random_matrix_tells_nothing():
    small, above, asked = [], 0, 0
    for seed in range(6):
        found = analysed(*planted(signal=0.0, seed=seed)[:3])
        p = [found[f"{name}_p_adjusted"].values.ravel() for name in ("auc", "eta2", "rho_length")]
        small.append(np.nanmin(np.concatenate(p)))
        distance = abs(found["auc"] - 0.5).max(("component",))
        above += int((distance > found["auc_random"]).sum())
        asked += int(np.isfinite(distance).sum())
        assert not found["two_groups"].values.any()
    assert np.sum(np.array(small) < 0.05) <= 1, "after correction one in twenty, mostly none of six"
    assert above / asked < 0.2


def test_intervals_of_auc_and_length_cover():
    """Two normal distributions a standard deviation apart: the AUC is Phi(1 / sqrt 2)."""
    truth, hits = stats.norm.cdf(1 / np.sqrt(2)), 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        flag = np.arange(90) < 30
        scores = rng.normal(size=90) + flag
        error = component_properties.auc_error(scores[:, None], flag[None])[0, 0]
        hits += abs(separation(scores[:, None], flag)[0] - truth) < 1.645 * error
    assert 0.9 - 3 * 0.0212 < hits / 200 < 0.9 + 3 * 0.0212


@pytest.mark.parametrize("slope", [0.0, 0.2, 0.4])
def test_bonett_and_wright_agree_with_the_bootstrap(slope):
    embedding, token_str, count, *_, length = planted()
    rng = np.random.default_rng(0)
    score = xr.DataArray(
        (slope * length + rng.normal(size=1500))[None, None],
        dims=("basis", "component", "vocab"),
        coords={"basis": ["svd"], "component": [0]},
    )
    properties = describe_tokens(token_str, count)
    found = separation_by_component(
        score, embedding, properties, least=20, draws=1, interval=0.95, seed=0
    ).squeeze()
    values = xr.DataArray(np.stack([score.values[0, 0], length]), dims=("feature", "vocab"))
    drawn = rank_correlations(
        values.assign_coords(feature=["score", "length"]), resamples=1000, interval=0.95, seed=0
    ).sel(feature="score", other="length", given="nothing")
    width = float(drawn["rho_high"] - drawn["rho_low"])
    for end in ("low", "high"):
        assert float(found[f"rho_length_{end}"]) == pytest.approx(float(drawn[f"rho_{end}"]), abs=0.1 * width)


def test_rare_properties_and_unknown_counts_are_left_out():
    embedding, token_str, count, *_ = planted(n_vocab=500)
    count[:7] = np.nan
    found = analysed(embedding, token_str, count, least=150)
    assert "never seen" in found["property"].values  # 200 of 493
    assert "capitalised" not in found["property"].values
    at = found["auc"].sel(property="never seen")
    assert np.isfinite(at.sel(token_set="all")).all() and np.isnan(at.sel(token_set="seen")).all()
    assert int(found["n_with"].sel(token_set="all", property="never seen")) == 200


def test_tables_hold_the_numbers(found, tmp_path):
    table = components.table(found)
    rows = table.query("tokens == 'seen' and basis == 'svd' and component == 1 and of == 'leading space'")
    at = found.sel(token_set="seen", basis="svd", component=1, property="leading space")
    assert rows["what"].tolist() == ["auc", "auc_plane"]
    np.testing.assert_allclose(rows["value"], [at["auc"], at["plane_auc"]])
    assert set(table["what"]) == {"auc", "eta2", "rho", "auc_plane"}
    for tokens, of_set in table[table["p"].notna()].groupby("tokens"):
        assert set(of_set["family"]) == {f"components, {tokens} tokens: {len(of_set)} (Holm)"}
        assert (of_set["p"] > 0).all()
        assert of_set["p_adjusted"].min() == pytest.approx(of_set["p"].min() * len(of_set))
    peaks = components.peaks_table(found)
    assert len(peaks) == 2 * 4 * 5 * 3  # token sets, components, places, ends (NMF has one)
    found.to_netcdf(tmp_path / "c.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "c.nc", engine="h5netcdf") as back:
        xr.testing.assert_equal(back.load(), found)
