"""Tokens that a tokenizer puts before a text: they stand there, and averages over tokens leave them out."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from oracles import tiny_models
from strata.keys.triggers import find_triggers
from strata.lens.text_stream import TextStream
from strata.model.architecture import find_parts
from strata.text import documents as text
from strata.text import tagged
from strata.text.tokens import of_text, ordinary
from strata.text.words import Tagged, Word
from strata.trace.dataset import after_prefix

BOS = 90


def encode(texts):
    return [[ord(letter) - ord("a") for letter in each] for each in texts]


def documents(n=12):
    return ["abcde"[i % 3 :] + "fgh"[: i % 4] + chr(ord("i") + i) for i in range(n)]


@pytest.fixture
def dataset():
    drawn, _ = text.sample(documents(), encode, 12, 6, tiny_models.VOCAB, 0, beginning=(BOS,))
    return text.as_dataset(drawn, 1)


def test_a_document_begins_with_them_and_they_are_not_counted():
    plain, counts = text.sample(documents(), encode, 12, 5, 100, 0)
    begun, same = text.sample(documents(), encode, 12, 6, 100, 0, beginning=(BOS,))
    assert begun == [[BOS, *document] for document in plain]
    assert (counts == same).all() and counts[BOS] == 0


def test_they_are_marked_and_left_out_of_a_texts_own_tokens(dataset):
    assert (dataset["beginning"] == (dataset["position"] == 0)).all()
    own = of_text(dataset)
    assert BOS not in own["token_id"].values and own["position"].values.min() == 1
    assert own.sizes["token"] == dataset.sizes["token"] - 12
    plain = text.as_dataset([[1, 2], [3, 4], [5, 6]])
    assert of_text(plain) is plain and of_text(plain.drop_vars("beginning")).sizes == plain.sizes


def test_decoders_are_fitted_to_a_texts_own_tokens(dataset):
    tokens = {"token": dataset.sizes["token"]}
    resid = xr.DataArray(
        np.random.default_rng(0).normal(size=(3, tokens["token"], 2)), dims=("depth", "token", "channel")
    )
    kept = dataset.assign(resid=resid.astype("float32"))
    streams = [stream for stream, *_ in TextStream(kept, 7).batches_with_targets("train")]
    targets = torch.cat([target for _, target, _ in TextStream(kept, 7).batches_with_targets("train")])
    own = of_text(kept).isel(token=of_text(kept)["split"].values == "train")
    np.testing.assert_array_equal(torch.cat(streams, 1), own["resid"].values)
    assert targets.tolist() == text.next_in_document(own).tolist()


def test_no_trigger_of_a_key_is_one_of_them(dataset):
    parts = find_parts(tiny_models.build("gpt2"))
    found = find_triggers(parts, dataset, n_keys=6, k=3, seed=0)
    index = found["trigger"].values
    assert (index >= 0).any() and not dataset["beginning"].values[index[index >= 0]].any()


def test_labels_of_words_stay_where_they_are():
    words = [Word(0, 2, "DET", "det", "NP"), Word(3, 6, "NOUN", "root", "NP")]
    sentences = [Tagged(f"ab cde{letter}"[:6], words) for letter in "x"] + [
        Tagged(f"{letter}b cde", words) for letter in "pqrs"
    ]

    def tokens(texts, n):
        ids = [[BOS] * n + [1, 2] for _ in texts]
        return ids, [[(0, 0)] * n + [(0, 2), (2, 6)] for _ in texts]

    plain = tagged.sample(sentences, lambda texts: tokens(texts, 0), 5, 9, 0)
    begun = tagged.sample(sentences, lambda texts: tokens(texts, 1), 5, 9, 0, n_beginning=1)
    own = of_text(begun)
    for name in ("tag", "relation", "next_tag"):
        assert own[name].values.tolist() == plain[name].values.tolist()
        assert set(begun[name].values[begun["beginning"].values]) == {""}


def test_a_prefix_stands_behind_them():
    table = pd.DataFrame({"subject_start": [2], "subject_position": [2], "n_tokens": [4]})
    moved, ids = after_prefix(table, [[BOS, 1, 2, 3]], [7, 8], n_beginning=1)
    assert ids == [[BOS, 7, 8, 1, 2, 3]] and moved.iloc[0].tolist() == [4, 4, 6]


def test_special_tokens_and_padding_are_no_ordinary_tokens():
    weights = xr.Dataset(
        {"special": ("vocab", [True, False, False, False])},
        {"token_str": ("vocab", ["<bos>", "a", "<no token>2", "b"])},
    )
    assert ordinary(weights)["token_str"].values.tolist() == ["a", "b"]
    assert ordinary(weights.drop_vars("special"))["token_str"].values.tolist() == ["<bos>", "a", "b"]
