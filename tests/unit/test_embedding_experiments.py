import numpy as np
import pytest
import torch

from oracles import experiments as slow
from oracles import tiny_models
from strata.embedding import experiments
from strata.model.architecture import find_parts
from strata.stats.bootstrap import Bootstrap

OPTIONS = {"widths": [0, 1, 3], "draws": 3, "min_documents": 3, "resamples": 100, "interval": 0.9, "seed": 1}
RNG = np.random.default_rng(0)
DOCUMENTS = [RNG.integers(0, tiny_models.VOCAB, n).tolist() for n in (12, 4, 9, 2, 6, 12)]


def overall(found, treatment):
    at = found.sel(treatment=treatment)
    return [float(at[f"change_overall{end}"]) for end in ("", "_low", "_high")]


# Treatments ---------------------------------------------------------------------------------


def test_smoothing_is_a_weighted_mean():
    matrix = RNG.normal(size=(20, 3))
    for width in (0.5, 2, 6):
        np.testing.assert_allclose(experiments.smooth(matrix, width), slow.smooth(matrix, width), atol=1e-12)
    assert experiments.smooth(matrix, 0) is matrix


def test_smoothing_keeps_constants_and_takes_what_alternates():
    matrix = np.stack([np.full(40, 2.0), np.tile([1.0, -1.0], 20)], axis=1)
    found = experiments.smooth(matrix, 2)
    np.testing.assert_allclose(found[:, 0], 2)
    # The transform of a normal distribution at half a cycle a position: exp(-2 (pi width / 2)^2).
    assert abs(found[15:25, 1]).max() < 1e-3


@pytest.mark.parametrize("n_upper,counts", [(3, [3, 7]), (5, [5]), (8, [2]), (0, [10])])
def test_as_many_channels_are_silenced_at_random(n_upper, counts):
    spread = np.arange(1, 11)
    matrix = RNG.normal(size=(50, 10)) * spread + 5.0
    matrix *= spread / matrix.std(0)
    upper = np.arange(10) >= 10 - n_upper
    every = list(experiments.treatments(matrix, upper, [0, 2], 4, 0))
    assert [t.width for t in every[:2]] == [0, 2] and every[0].matrix is matrix
    for kind, value in (("zeroed", np.zeros(10)), ("averaged", matrix.mean(0))):
        sets = [t for t in every if t.kind == kind]
        assert {t.n_channels for t in sets if t.channel_set == "random"} == set(counts)
        for t in sets:
            changed = np.flatnonzero((t.matrix != matrix).any(0))
            assert len(changed) == t.n_channels
            np.testing.assert_array_equal(t.matrix[:, changed], np.tile(value[changed], (50, 1)))
            if t.channel_set == "lowest":
                assert changed.tolist() == list(range(t.n_channels))
            if t.channel_set == "highest":
                assert changed.tolist() == list(range(10 - t.n_channels, 10)) and upper[changed].all()
        for n in counts:
            drawn = [t for t in sets if t.channel_set == "random" and t.n_channels == n]
            assert len(drawn) == 4 and len({t.name for t in drawn}) == 1
    assert matrix.mean() > 4, "nothing was changed in place"


# Losses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_losses_are_the_models(name):
    model = tiny_models.build(name)
    found = experiments.losses(find_parts(model), DOCUMENTS)
    assert found.shape == (6, 11)
    for row, expected in zip(found, slow.losses(model, DOCUMENTS), strict=True):
        np.testing.assert_allclose(row[: len(expected)], expected, atol=1e-4)
        assert np.isnan(row[len(expected) :]).all()


@pytest.mark.parametrize("name", ["gpt2", "gpt-neo"])
def test_a_changed_matrix_is_as_if_overwritten_and_leaves_the_model(name):
    model = tiny_models.build(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    matrix = RNG.normal(size=tuple(model.transformer.wpe.weight.shape)).astype("float32")
    found = experiments.losses(find_parts(model), DOCUMENTS, matrix)
    for row, expected in zip(found, slow.losses(model, DOCUMENTS, matrix), strict=True):
        np.testing.assert_allclose(row[: len(expected)], expected, atol=1e-4)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


# The experiments ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    model = slow.reads_position()
    parts = find_parts(model)
    matrix = model.transformer.wpe.weight.numpy()
    options = OPTIONS | {"draws": 40, "min_documents": 12}
    return model, matrix, experiments.disturb(parts, slow.DOCUMENTS, matrix.std(0) > 0.5, **options)


def test_width_zero_changes_nothing_exactly(planted):
    found = planted[2].sel(treatment="smoothed, width 0")
    assert (found["change"] == 0).all() and found["change_overall"] == 0
    assert found["change_overall_low"] == found["change_overall_high"] == 0


def test_what_nothing_reads_costs_nothing_to_silence(planted):
    found = planted[2]
    for kind in ("zeroed", "averaged"):
        for n in (2, 46):
            value, low, high = overall(found, f"{kind}, lowest, {n}")
            assert abs(value) < 0.05 and low <= value <= high
        assert overall(found, f"{kind}, highest, 2")[1] > 0.5
        assert overall(found, f"{kind}, all, 48")[1] > 0.5
        # 2 of 48 at random hit the channel that is read in one draw of 24.
        assert -0.05 < overall(found, f"{kind}, random, 2")[0] < 0.3
        at = found.sel(treatment=f"{kind}, highest, 2")
        assert at["beyond_random_low"] > 0.3
        at = found.sel(treatment=f"{kind}, lowest, 46")
        assert at["beyond_random_high"] < -0.5, "46 at random nearly always hit it"
    assert found["beyond_random"].sel(treatment=["smoothed, width 1", "zeroed, random, 2"]).isnull().all()
    assert overall(found, "smoothed, width 1")[1] > 0.5, "alternation is smoothed away"


def test_means_equal_the_loop(planted):
    model, matrix, found = planted
    silenced = matrix.copy()
    silenced[:, np.argsort(matrix.std(0))[-2:]] = 0
    own, changed = slow.losses(model, slow.DOCUMENTS), slow.losses(model, slow.DOCUMENTS, silenced)
    differences = [[b - a for a, b in zip(*rows, strict=True)] for rows in zip(own, changed, strict=True)]
    tokens = [d for row in differences for d in row]
    at = found.sel(treatment="zeroed, highest, 2")
    assert float(at["change_overall"]) == pytest.approx(np.mean(tokens), abs=1e-5)
    assert int(found["n_tokens"]) == len(tokens)
    assert found["position"].values.tolist() == [0, 1, 2, 3], "positions that twelve documents reach"
    assert found["n_documents"].values.tolist() == [16, 16, 12, 12]
    for t in range(4):
        here = [row[t] for row in differences if len(row) > t]
        assert float(at["change"].sel(position=t)) == pytest.approx(np.mean(here), abs=1e-5)
        loss = [row[t] for row in own if len(row) > t]
        assert float(found["loss"].sel(position=t)) == pytest.approx(np.mean(loss), abs=1e-5)


def test_draws_are_averaged_and_their_ends_kept(planted):
    model, matrix, found = planted
    at = found.sel(treatment="zeroed, random, 2")
    every = [
        t
        for t in experiments.treatments(matrix, matrix.std(0) > 0.5, [], 40, OPTIONS["seed"])
        if t.name == "zeroed, random, 2"
    ]
    assert len(every) == 40
    documents = slow.DOCUMENTS[:4]  # the others are the same again
    own = np.concatenate(slow.losses(model, documents))
    each = [np.mean(np.concatenate(slow.losses(model, documents, t.matrix)) - own) for t in every]
    ends = [float(at[name]) for name in ("change_overall", "draws_lowest", "draws_highest")]
    np.testing.assert_allclose(ends, [np.mean(each), min(each), max(each)], atol=1e-5)


def test_the_intervals_are_of_documents():
    """Documents whose change is known: the standard error of a mean over documents of one length."""
    rng = np.random.default_rng(0)
    change = rng.normal(0.3, 1, (400, 1)) + np.zeros((400, 5))
    bootstrap = Bootstrap(2000, 0.95, 0)
    found = experiments._per_token("change", change, bootstrap, ())
    error = change[:, 0].std() / 20
    np.testing.assert_allclose(
        [found["change_low"], found["change_high"]],
        change.mean() + np.array([-1.96, 1.96]) * error,
        atol=0.15 * error,
    )


def test_a_model_without_a_position_matrix_says_so():
    for name in ("gpt-neox", "llama", "ctrl"):
        parts = find_parts(tiny_models.build(name))
        found = experiments.disturb(parts, DOCUMENTS, None, **OPTIONS)
        assert not found.data_vars and found.attrs["position_embedding"].startswith("absent")


def test_few_documents_are_taken_as_far_as_all_reach():
    parts = find_parts(tiny_models.build("gpt2"))
    upper = np.arange(tiny_models.WIDTH) < 4
    found = experiments.disturb(parts, DOCUMENTS[:2], upper, **OPTIONS)
    assert found["position"].values.tolist() == [0, 1, 2] and (found["n_documents"] == 2).all()
    alone = experiments.disturb(parts, DOCUMENTS[:1], upper, **OPTIONS)
    for few in (found, alone):
        assert few["change"].notnull().all() and few["change_low"].isnull().all()
