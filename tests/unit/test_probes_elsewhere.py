import numpy as np
import pytest
import torch
from scipy.stats import ortho_group

from oracles import probes as oracle
from strata.probes.linear import Moments, fit
from strata.probes.tokens import analyse
from strata.text.documents import as_dataset, documents_of, next_in_document

VOCAB, CHANNELS = 30, 32
SETTINGS = {"epochs": 0, "nmf_components": 3, "nmf_tokens": 30, "draws": 2, "elsewhere": 10**6}
SETTINGS |= {"resamples": 100, "interval": 0.9, "seed": 0}


def planted():
    """States that hold the input token: at depths 0 and 2 alike, at 1 turned at random, at 3 half turned."""
    rng = np.random.default_rng(0)
    text = as_dataset(rng.integers(VOCAB, size=(160, 15)).tolist())
    embedding, unembedding = rng.normal(size=(2, VOCAB, CHANNELS)).astype(np.float32)
    turn = ortho_group.rvs(CHANNELS, random_state=1)
    half = np.eye(CHANNELS)
    half[: CHANNELS // 2, : CHANNELS // 2] = ortho_group.rvs(CHANNELS // 2, random_state=2)
    states = embedding[text["token_id"].values]
    noise = [0.05 * rng.normal(size=states.shape) for _ in range(4)]
    turned = [
        states @ m + n for m, n in zip((np.eye(CHANNELS), turn, np.eye(CHANNELS), half), noise, strict=True)
    ]
    return (
        text,
        [torch.from_numpy(each).float() for each in turned],
        {"input": embedding, "next": unembedding},
    )


@pytest.fixture(scope="module")
def found():
    text, states, matrices = planted()
    return analyse(lambda depth: states[int(depth)], range(4), text, matrices, **SETTINGS)


def test_a_probe_serves_where_states_are_not_turned(found):
    at = found["elsewhere_accuracy"].sel(target="input")
    same, other = at.sel(fitted_depth=[0, 2], depth=[0, 2]), at.sel(fitted_depth=[0, 2], depth=1)
    np.testing.assert_allclose(same, 1)
    assert float(other.max()) < 0.25 and float(at.sel(fitted_depth=1, depth=[0, 2]).max()) < 0.25
    assert 0.3 < float(at.sel(fitted_depth=0, depth=3)) < 1  # half of the channels are as they were
    assert float(found["elsewhere_accuracy"].sel(target="next").max()) < 0.15


def test_on_its_own_depth_it_is_the_probe_of_that_depth(found):
    pairs = found["elsewhere_accuracy"]
    for end in ("", "_low", "_high"):
        own = np.diagonal(found[f"elsewhere_accuracy{end}"], axis1=1, axis2=2)
        np.testing.assert_allclose(own, found[f"accuracy{end}"])
    assert pairs.dims == ("target", "fitted_depth", "depth")
    np.testing.assert_array_equal(found["n_elsewhere"], found["n_scored"])


def test_each_pair_against_a_probe_fitted_and_tried_by_hand(found):
    text, states, _ = planted()
    unseen = np.zeros(text.sizes["token"], bool)
    train = documents_of(text, "train")
    for split in ("validation", "test"):
        unseen[text["split"].values == split] = oracle.unseen_contexts(train, documents_of(text, split))
    following = next_in_document(text)
    for target, labels in (("input", text["token_id"].values), ("next", following)):
        fitted = (text["split"].values == "train") & (labels >= 0)
        scored = (text["split"].values == "test") & unseen & (labels >= 0)
        classes, index = np.unique(labels[fitted], return_inverse=True)
        for one, other in ((0, 1), (1, 0), (0, 3), (3, 2)):
            moments = Moments.of(states[one][fitted], torch.from_numpy(index), len(classes))
            said = classes[fit(moments, classes)(states[other][scored]).numpy()]
            expected = (said == labels[scored]).mean()
            at = found["elsewhere_accuracy"].sel(target=target, fitted_depth=one, depth=other)
            assert float(at) == pytest.approx(expected)


def test_few_tokens_are_drawn_from_all_that_are_scored(found):
    text, states, matrices = planted()
    few = analyse(lambda d: states[int(d)], range(4), text, matrices, **SETTINGS | {"elsewhere": 60})
    assert (few["n_elsewhere"] == 60).all()
    difference = few["elsewhere_accuracy"] - found["elsewhere_accuracy"]
    assert 0 < abs(difference).max() < 4 * 0.5 / np.sqrt(60)
    np.testing.assert_allclose(few["accuracy"], found["accuracy"])
