import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from statsmodels.stats.proportion import proportion_confint
from torch.utils._python_dispatch import TorchDispatchMode

from oracles import tiny_models
from oracles import zero_layer as slow
from strata import io
from strata.embedding import scores as scores_module
from strata.embedding import zero_layer
from strata.embedding.scores import SPARE, Scores
from strata.embedding.spelling import KINDS, is_printable, relation
from strata.embedding.tiles import measure
from strata.embedding.zero_layer_tables import attractor_table, exception_table
from strata.model.weights import weights as weights_of

FEW = {"shuffles": 30, "resamples": 200, "interval": 0.9, "neighbours": 3}


@pytest.fixture(scope="module")
def planted():
    weights = slow.planted()
    return weights, zero_layer.analyse(weights, **FEW)


def called(result, variant="embedding"):
    at = result.sel(variant=variant)
    rows = np.where(at["on_diagonal"], np.arange(at.sizes["vocab"]), at["other_row"])
    return rows.tolist()


# Against loops ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_calls_equal_the_loop(kind):
    embedding, unembedding = (0.3 * slow.random_matrix(90, 8, seed) for seed in (1, 2))
    bias = np.random.default_rng(3).normal(size=90)
    weights = slow.weights(embedding, None, unembedding, kind, unembedding_bias=("vocab", bias))
    result = zero_layer.analyse(weights, rows=17, columns=23, **FEW)
    gain = weights["final_norm_gain"].values
    if kind == "layer":
        normed = slow.layer_norm(embedding, gain, weights["final_norm_bias"].values, 1e-5)
    else:
        normed = slow.rms_norm(embedding, gain, 1e-5)
    assert result.attrs["tied"] == 0
    assert called(result) == slow.called_for(embedding, embedding)
    assert called(result, "unembedding") == slow.called_for(embedding, unembedding)
    expected = slow.called_for(normed, unembedding, weights["unembedding_bias"].values)
    assert called(result, "final norm") == expected
    assert 0 < (np.array(expected) == np.arange(90)).sum() < 90
    row, other = 5, int(result["other_row"].sel(variant="final norm")[5])
    for name, column in (("own_score", row), ("other_score", other)):
        score = normed[row] @ unembedding[column] + bias[column]
        assert float(result[name].sel(variant="final norm")[row]) == pytest.approx(score, rel=1e-5)
    np.testing.assert_allclose(result["embedding_norm"], np.linalg.norm(embedding, axis=1), rtol=1e-6)
    norms = result["key_norm"].sel(variant="unembedding")
    np.testing.assert_allclose(norms, np.linalg.norm(unembedding, axis=1), rtol=1e-6)


def test_a_tied_unembedding_is_one_matrix(planted):
    weights, result = planted
    loaded, tied = zero_layer.load_once(weights)
    assert tied and np.shares_memory(loaded["token_embedding"], loaded["unembedding"])
    assert result.attrs["tied"] == 1
    assert result["variant"].values.tolist() == ["embedding", "final norm"]
    other = weights["unembedding"].copy(deep=True)
    other[-1, -1] += 1
    assert not zero_layer.load_once(weights.assign(unembedding=other), rows=7)[1]


def test_best_others_equal_a_sort():
    queries, keys = slow.random_matrix(40, 6, 0), slow.random_matrix(40, 6, 1)
    others, scores, own = Scores(queries, keys).best_others(4, rows=7, columns=3)
    every = queries.astype(float) @ keys.T.astype(float)
    np.testing.assert_allclose(own, np.diag(every), atol=1e-12)
    np.fill_diagonal(every, -np.inf)
    np.testing.assert_array_equal(others, np.argsort(-every, axis=1)[:, :4])
    np.testing.assert_allclose(scores, -np.sort(-every, axis=1)[:, :4], atol=1e-12)
    with pytest.raises(ValueError, match="40 other tokens are asked for, of 40"):
        Scores(queries, keys).best_others(40)
    others, _, _ = Scores(queries, keys).best_others(39)  # all there are
    assert all(sorted(row) == [j for j in range(40) if j != i] for i, row in enumerate(others.tolist()))


def test_rows_asked_for_are_those_of_all():
    matrix = slow.random_matrix(60, 8)
    whole = Scores(matrix, matrix).best_others(2, rows=7, columns=11)
    some = Scores(matrix, matrix).best_others(2, rows=7, columns=11, among=range(20, 41))
    for all_rows, few in zip(whole, some, strict=True):
        np.testing.assert_array_equal(few, all_rows[20:41])


def test_neighbours_equal_the_loop():
    embedding = slow.random_matrix(60, 10) + 1
    result = zero_layer.analyse(slow.weights(embedding), rows=13, columns=9, **FEW)
    for centring, centred in (("raw", False), ("centred", True)):
        found = result["neighbour_row"].sel(centring=centring).values.tolist()
        assert found == slow.nearest(embedding, 3, centred)


def test_measures_equal_numpy_in_tiles_of_any_size():
    matrix = slow.random_matrix(50, 6) + 3
    for rows in (1, 7, 50, 99):
        norm, mean, std = measure(matrix, rows)
        np.testing.assert_allclose(norm, np.linalg.norm(matrix, axis=1), rtol=1e-6)
        np.testing.assert_allclose(mean, matrix.astype(float).mean(0), rtol=1e-12)
        np.testing.assert_allclose(std, matrix.astype(float).std(0), rtol=1e-9)
    matrix[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        zero_layer.analyse(slow.weights(matrix))


# Tiles and ties -----------------------------------------------------------------------------


def test_tiles_of_any_size_give_identical_results(planted):
    weights, expected = planted
    for rows, columns in ((1, 10_000), (10_000, 1), (37, 101), (10_000, 10_000)):
        found = zero_layer.analyse(weights, rows=rows, columns=columns, **FEW)
        xr.testing.assert_identical(found, expected)


def test_ties_go_to_the_token_itself_then_to_the_first():
    embedding = np.array([[1, 0], [1, 0], [1, 0], [0, 3], [0, 1], [0, 3]], "float32")
    for columns in (1, 2, 6):
        scores = Scores(embedding, embedding)
        others, best, own = scores.best_others(1, rows=2, columns=columns)
        assert others[:, 0].tolist() == [1, 0, 0, 5, 3, 3]
        assert (own >= best[:, 0]).tolist() == [True, True, True, True, False, True]


class Sizes(TorchDispatchMode):
    """The largest tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return made


@pytest.mark.parametrize("rows,columns", [(64, 80), (80, 64), (48, 48)])
@pytest.mark.parametrize("once", [False, True])
def test_no_tile_is_larger_than_asked(rows, columns, once):
    """Than a tile, or than the candidates of every token."""
    channels, tokens = 5, 400
    matrix = slow.random_matrix(tokens, channels)
    norm = zero_layer.decoder_from(slow.weights(matrix)).norm
    with Sizes() as sizes:
        scores = Scores(matrix, matrix) if once else Scores(matrix, matrix, of_query=norm)
        scores.best_others(2, rows=rows, columns=columns)
    assert rows * columns <= sizes.largest <= max(rows * columns, tokens * (2 + SPARE))


def test_two_rows_of_one_matrix_meet_once(monkeypatch):
    made = []

    def counted(rows, others):
        made.append(len(rows) * len(others))
        return rows @ others.T

    monkeypatch.setattr(scores_module, "product", counted)
    matrix = slow.random_matrix(100, 4)
    of_one, of_two = ([], [])
    for found, keys in ((of_one, matrix), (of_two, matrix.copy())):
        made.clear()
        found += Scores(matrix, keys).best_others(3, rows=10, columns=10)
        found.append(sum(made))
    assert of_one.pop() == 100 * 110 / 2 and of_two.pop() == 100 * 100
    for one, two in zip(of_one, of_two, strict=True):
        np.testing.assert_array_equal(one, two)


# Planted weights ----------------------------------------------------------------------------


def test_planted_exceptions_are_found_and_typed(planted):
    weights, result = planted
    table = exception_table(result).query("variant == 'embedding'")
    found = {row.token: (row.calls_for, row.kind) for row in table.itertuples()}
    assert found == slow.expected_calls()
    assert len(table) == len(found)
    n, exceptions = weights.sizes["vocab"], len(slow.expected_calls())
    at = result.sel(variant="embedding")
    assert float(at["share"]) == pytest.approx(1 - exceptions / n)
    low, high = proportion_confint(n - exceptions, n, alpha=0.1, method="wilson")
    assert (float(at["share_low"]), float(at["share_high"])) == pytest.approx((low, high))
    kinds = [kind for _, kind in slow.expected_calls().values()]
    for kind in KINDS:
        assert int(at["kind_count"].sel(kind=kind)) == kinds.count(kind)
        assert float(at["kind_share"].sel(kind=kind)) == pytest.approx(kinds.count(kind) / exceptions)
    assert (table["margin"].values > 0).all() and table["margin"].is_monotonic_decreasing
    near = table[table["token"] == "near0"].iloc[0]
    # near: 0.8 of its own, 0.6 along the long one; the mean adds 20 x 20 to every score.
    assert (near["own_score"], near["score"]) == pytest.approx((401, 402.4), rel=1e-6)
    assert near["attracts"] == slow.N_ATTRACTED


def test_kinds_beyond_chance_are_told_from_what_is_attracted_anyway(planted):
    at = planted[1].sel(variant="embedding")
    for kind in ("space removed", "space added", "case", "fragment"):
        assert at["kind_share"].sel(kind=kind) > at["chance_high"].sel(kind=kind), kind
    # One token calls for bytes whoever it is: dealing anew changes it only where it is bytes itself.
    for kind in ("unprintable bytes", "to unprintable bytes"):
        cell = at.sel(kind=kind)
        assert cell["chance_low"] <= cell["kind_share"] <= cell["chance_high"], kind


def test_the_planted_long_vector_attracts(planted):
    _, result = planted
    table = attractor_table(result).query("variant == 'embedding'")
    first = table.iloc[0]
    assert (first["token"], first["attracted"], first["norm_rank"]) == (slow.ATTRACTOR, slow.N_ATTRACTED, 1)
    assert first["share"] == pytest.approx(slow.N_ATTRACTED / len(slow.expected_calls()))
    assert first["on_diagonal"]
    assert (table["attracted"].iloc[1:] == 1).all() and len(table) == 1 + len(slow.PAIRS)
    at = result.sel(variant="embedding")
    exceptions = ~at["on_diagonal"].values
    longer = at["key_norm"].values[at["other_row"].values[exceptions]] > at["key_norm"].values[exceptions]
    assert longer.all()  # by Cauchy and Schwarz


def test_attractor_percentile_on_paper():
    embedding = np.array([[1, 0], [2, 0], [0, 3], [0, 1], [0, 1.5]], "float32")
    result = zero_layer.analyse(slow.weights(embedding), **FEW | {"neighbours": 1})
    at = result.sel(variant="embedding")
    assert at["attracted"].values.tolist() == [0, 1, 2, 0, 0]
    # 3 is longer than all four others, 2 than three.
    assert float(at["attractor_percentile"]) == pytest.approx((1 + 0.75) / 2)
    assert int(at["attractor_percentile_n"]) == 2
    assert at["norm_rank"].values.tolist() == [4.5, 2, 1, 4.5, 3]


def test_a_mean_direction_hides_neighbours_until_it_is_taken_off(planted):
    weights, result = planted
    names = weights["token_str"].values.tolist()
    nearest = result["neighbour_row"].isel(k=0).sel(centring="centred").values
    for token, (other, _) in slow.PAIRS.items():
        assert names[nearest[names.index(token)]] == other
    cosine = result["neighbour_cosine"].isel(k=0)
    assert float(cosine.sel(centring="raw").min()) > 0.97  # nearly all is the mean
    plain = [i for i, name in enumerate(names) if name.startswith("plain")]
    assert float(cosine.sel(centring="centred")[plain].max()) < 0.75
    pairs = [names.index(token) for token in slow.PAIRS]
    assert float(cosine.sel(centring="centred")[pairs].min()) > 0.97
    assert float(result["above_chance"].sel(centring="raw")) == 1


# Nothing there ------------------------------------------------------------------------------


def test_a_random_matrix_is_all_diagonal():
    result = zero_layer.analyse(slow.weights(slow.random_matrix()), **FEW)
    assert result["on_diagonal"].sel(variant="embedding").all()
    at = result.sel(variant="embedding")
    assert float(at["share"]) == 1 and float(at["share_low"]) < 1
    assert not at["attracted"].any()
    for name in ("attractor_percentile", "kind_share", "chance_share", "kind_share_low"):
        assert at[name].isnull().all(), name
    table = exception_table(result)
    assert not (table["variant"] == "embedding").any()
    assert not (attractor_table(result)["variant"] == "embedding").any()


def test_random_directions_are_as_near_as_chance_has_it():
    shares = []
    for seed in range(4):
        matrix = slow.random_matrix(800, 24, seed)
        result = zero_layer.nearest_neighbours(matrix, matrix.mean(0), 1, 0.95)
        shares.append(result["above_chance"].values)
    # 1 in 100; a pair that is near counts for both of its tokens.
    np.testing.assert_allclose(np.mean(shares, axis=0), 0.01, atol=0.008)


def test_chance_cosine_equals_a_simulation():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20_000, 50, 6))
    nearest = (rows[:, :, 0] / np.linalg.norm(rows, axis=2)).max(1)
    found = zero_layer.chance_cosine(51, 6, 0.9)
    assert (nearest < found).mean() == pytest.approx(0.9, abs=0.01)


@pytest.mark.long
def test_share_by_length_equals_a_simulation():
    rng = np.random.default_rng(0)
    norm = np.exp(0.3 * rng.normal(size=300))
    shares = []
    for _ in range(30):
        rows = rng.normal(size=(300, 12))
        rows *= (norm / np.linalg.norm(rows, axis=1))[:, None]
        score = rows @ rows.T
        shares.append((score.argmax(1) == np.arange(300)).mean())
    assert 0.3 < np.mean(shares) < 0.8
    assert zero_layer.share_by_length(norm, 12) == pytest.approx(np.mean(shares), abs=0.01)
    assert zero_layer.share_by_length(np.ones(300), 12) == 1
    assert zero_layer.share_by_length(norm, 4096) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", ["gpt2", "ctrl", "gpt-j", "gpt-neox", "opt-350m", "llama", "gemma2"])
def test_every_kind_of_readout_has_its_variants(name):
    weights = weights_of(tiny_models.build(name), lambda ids: [f"t{i}" for i in ids])
    result = zero_layer.analyse(weights, **FEW)
    tied = weights["token_embedding"].equals(weights["unembedding"])
    assert result.attrs["tied"] == tied
    assert result.sizes["variant"] == (2 if tied else 3)
    decoder = zero_layer.decoder_from(weights)
    logits = decoder.logits(torch.from_numpy(weights["token_embedding"].values))
    assert called(result, "final norm") == logits.argmax(1).tolist()


# Frequency ----------------------------------------------------------------------------------


def test_share_by_frequency_on_paper():
    on_diagonal = xr.DataArray([[True, False, True, True, False, False, True]], dims=("variant", "vocab"))
    count = xr.DataArray([0, 0, 1, 9, 10, np.nan, 999], dims="vocab")
    found = zero_layer.share_by_frequency(on_diagonal.assign_coords(variant=["a"]), count, 0.95)
    assert found["band"].values.tolist() == ["never", "1 to 9", "10 to 99", "100 to 999"]
    assert found["share_by_band"].sel(variant="a").values.tolist() == [0.5, 1, 0, 1]
    assert found["share_by_band_n"].values.tolist() == [2, 2, 1, 1]
    assert found["share_by_band_low"].isnull().all(), "too few tokens for an interval"
    more = [xr.concat([part] * 10, "vocab") for part in (on_diagonal.assign_coords(variant=["a"]), count)]
    found = zero_layer.share_by_frequency(*more, 0.95)
    low, high = proportion_confint(10, 20, method="wilson")
    assert float(found["share_by_band_low"][0, 0]) == pytest.approx(low)
    assert float(found["share_by_band_high"][0, 0]) == pytest.approx(high)
    assert found["share_by_band_low"].notnull().values.tolist() == [[True, True, False, False]]


def test_counts_are_matched_by_id_and_kept(planted, tmp_path):
    weights, without = planted
    ids = weights["token_id"].values
    counts = pd.DataFrame({"token_id": ids[::-1], "count": ids[::-1] * 3})
    result = zero_layer.analyse(weights, counts, **FEW)
    assert result["count"].values.tolist() == (ids * 3).tolist()
    assert int(result["share_by_band_n"].sum()) == len(ids)
    xr.testing.assert_identical(result[list(without)].drop_attrs(), without.drop_attrs())
    table = exception_table(result)
    assert (table["count"] == 3 * table["token_id"]).all()
    io.write_dataset(result, tmp_path / "zero_layer.nc")
    xr.testing.assert_equal(io.open_dataset(tmp_path / "zero_layer.nc").load(), result)


# Spelling -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token,other,kind",
    [
        ("Ġthe", "the", "space removed"),
        ("the", "Ġthe", "space added"),
        ("▁the", "the", "space removed"),
        ("The", "THE", "case"),
        ("Ġthe", "The", "case"),  # space and case
        ("stra", "Ġstrange", "fragment"),
        ("Ġstrange", "ang", "fragment"),
        ("ange", "Ġstrange", "fragment"),
        ("Ġcat", "Ġdog", "other"),
        ("Ġ", "Ġdog", "other"),  # a space is a part of whatever begins with one
        ("ĠĠ", "Ġ", "space removed"),
        ("â", "Ģ", "unprintable bytes"),
        ("xe", "â", "to unprintable bytes"),  # not a part of its escaped form
        ("Ā", "!", "unprintable bytes"),  # NUL
        ("<0xE2>", "a", "unprintable bytes"),
        ("a", "<0x00>", "to unprintable bytes"),
        ("Ċ", "ĊĊ", "fragment"),
        ("ÃŁ", "SS", "case"),  # ß
    ],
)
def test_relations(token, other, kind):
    assert relation(token, other) == kind


@pytest.mark.parametrize(
    "token,printable", [("Ċ", True), ("ĉ", True), ("Ã©", True), ("Ã", False), ("ā", False)]
)
def test_printable(token, printable):
    assert is_printable(token) == printable
