"""The shipped organism is what its recipe makes."""

from itertools import islice

import pandas as pd
import pytest
import torch

from strata.inputs import read_yaml
from strata.model.loading import load_model
from strata.organism.corpus import corpus_of, pack
from strata.organism.tokenizer import train_tokenizer
from strata.organism.training import LOG_EVERY, Recipe, averaged, build_model, learning_rate, train
from strata.text.tokenizer import load_tokenizer

SHIPPED = "data/models/organism"


@pytest.fixture(scope="module")
def section():
    return read_yaml("config.yaml")["organism"]


@pytest.fixture(scope="module")
def corpus(section):
    return corpus_of(section["corpus"])


@pytest.fixture(scope="module")
def tokenizer(section, corpus):
    settings = section["corpus"]
    sample = islice(corpus.documents(settings["seed"] + 1, ramped=True), settings["tokenizer_documents"])
    return train_tokenizer((d.text for d in sample), section["recipe"]["vocab_size"])


def test_the_shipped_tokenizer_is_the_one_its_corpus_gives(tokenizer):
    assert load_tokenizer(SHIPPED).base.get_vocab() == tokenizer.get_vocab()


def test_training_reproduces_the_beginning_of_the_shipped_loss_curve(section, corpus, tokenizer):
    recipe = Recipe(**section["recipe"])
    tokens, kinds, names = pack(
        corpus.documents(section["corpus"]["seed"]),
        lambda texts: [e.ids for e in tokenizer.encode_batch(texts)],
        LOG_EVERY * recipe.rows_per_step,
        recipe.row_length,
        recipe.vocab_size - 1,
    )
    steps = islice(train(tokens, kinds, names, recipe), LOG_EVERY)
    (line, _), *_ = averaged(steps, recipe, LOG_EVERY)
    shipped = pd.read_csv(f"{SHIPPED}/loss.tsv", sep="\t").iloc[0]
    assert line["tokens"] == shipped["tokens"]
    # Sums in another order (threads, processors) change bfloat16 products in their last bits.
    for name in ("all", *names):
        assert line[name] == pytest.approx(shipped[name], abs=0.05), name


def test_the_shipped_weights_have_the_recipe_s_shape(section):
    recipe = Recipe(**section["recipe"])
    shipped = load_model(SHIPPED).state_dict()
    fresh = build_model(recipe).state_dict()
    assert {k: v.shape for k, v in shipped.items()} == {k: v.shape for k, v in fresh.items()}
    assert all(torch.isfinite(v).all() for v in shipped.values())


def test_the_shipped_weights_are_small_enough_to_commit():
    from pathlib import Path

    assert Path(SHIPPED, "model.safetensors").stat().st_size < 12_500_000


def test_learning_rate_rises_stays_and_falls(section):
    recipe = Recipe(**section["recipe"])
    rates = [learning_rate(step, recipe) for step in range(recipe.steps)]
    assert rates[0] == pytest.approx(recipe.learning_rate / recipe.warmup_steps)
    assert rates[recipe.warmup_steps] == recipe.learning_rate == rates[recipe.steps // 2]
    assert rates[-1] < 0.001 * recipe.learning_rate
    assert all(
        a >= b for a, b in zip(rates[recipe.warmup_steps :], rates[recipe.warmup_steps + 1 :], strict=False)
    )
