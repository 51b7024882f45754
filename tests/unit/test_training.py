"""The shipped organisms are what their recipe makes."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy

from strata.inputs import read_yaml
from strata.model.loading import load_model
from strata.organism.corpus import corpus_of, pack
from strata.organism.tokenizer import train_tokenizer
from strata.organism.training import LOG_EVERY, Recipe, averaged, build_model, learning_rate, train
from strata.text.tokenizer import load_tokenizer

SECTION = read_yaml("config.yaml")["organism"]
VARIANTS = list(SECTION["variants"])


def recipe_of(variant: str) -> Recipe:
    return Recipe(**SECTION["recipe"], **SECTION["variants"][variant])


def shipped(variant: str, file: str = "") -> str:
    return f"data/models/{variant}/{file}"


@pytest.fixture(scope="module")
def corpus():
    return corpus_of(SECTION["corpus"])


@pytest.fixture(scope="module")
def tokenizer(corpus):
    settings = SECTION["corpus"]
    sample = islice(corpus.documents(settings["seed"] + 1, ramped=True), settings["tokenizer_documents"])
    return train_tokenizer((d.text for d in sample), SECTION["recipe"]["vocab_size"])


@pytest.mark.long
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_shipped_tokenizer_is_the_one_its_corpus_gives(tokenizer, variant):
    assert load_tokenizer(shipped(variant)).base.get_vocab() == tokenizer.get_vocab()


@pytest.mark.long
@pytest.mark.parametrize("variant", VARIANTS)
def test_training_reproduces_the_beginning_of_the_shipped_loss_curve(corpus, tokenizer, variant):
    recipe = recipe_of(variant)
    tokens, kinds, names = pack(
        corpus.documents(SECTION["corpus"]["seed"]),
        lambda texts: [e.ids for e in tokenizer.encode_batch(texts)],
        LOG_EVERY * recipe.rows_per_step,
        recipe.row_length,
        recipe.vocab_size - 1,
    )
    steps = islice(train(tokens, kinds, names, recipe), LOG_EVERY)
    (line, _), *_ = averaged(steps, recipe, LOG_EVERY)
    first = pd.read_csv(shipped(variant, "loss.tsv"), sep="\t").iloc[0]
    assert line["tokens"] == first["tokens"]
    # Sums in another order (threads, processors) change bfloat16 products in their last bits.
    for name in ("all", *names):
        assert line[name] == pytest.approx(first[name], abs=0.05), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_shipped_loss_curve_is_of_the_whole_recipe(variant):
    recipe = recipe_of(variant)
    steps = pd.read_csv(shipped(variant, "loss.tsv"), sep="\t")["step"]
    # Of the second organism the last hundred steps are not among the weights, as its card says.
    last = {"organism": recipe.steps, "organism-every-depth": recipe.steps - LOG_EVERY}[variant]
    assert steps.tolist() == list(range(LOG_EVERY, last + 1, LOG_EVERY))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_shipped_weights_have_the_recipe_s_shape(variant):
    weights = load_model(shipped(variant)).state_dict()
    fresh = build_model(recipe_of(variant)).state_dict()
    assert {k: v.shape for k, v in weights.items()} == {k: v.shape for k, v in fresh.items()}
    assert all(torch.isfinite(v).all() for v in weights.values())


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_shipped_weights_are_small_enough_to_commit(variant):
    assert Path(shipped(variant, "model.safetensors")).stat().st_size < 12_500_000


def test_learning_rate_rises_stays_and_falls():
    recipe = recipe_of("organism")
    rates = [learning_rate(step, recipe) for step in range(recipe.steps)]
    assert rates[0] == pytest.approx(recipe.learning_rate / recipe.warmup_steps)
    assert rates[recipe.warmup_steps] == recipe.learning_rate == rates[recipe.steps // 2]
    assert rates[-1] < 0.001 * recipe.learning_rate
    assert all(
        a >= b for a, b in zip(rates[recipe.warmup_steps :], rates[recipe.warmup_steps + 1 :], strict=False)
    )


# Every depth --------------------------------------------------------------------------------

TINY = Recipe(
    seed=1,
    n_layers=3,
    n_channels=16,
    n_heads=2,
    vocab_size=50,
    row_length=20,
    rows_per_step=3,
    steps=1,
    learning_rate=0.01,
    warmup_steps=1,
    weight_decay=0.0,
    early_attention_dropout=0.0,
    early_attention_blocks=0,
    every_depth=0.0,
)
TOKENS = np.random.default_rng(0).integers(0, 49, (3, 20))  # a document a row: none ends


@pytest.fixture
def stepped(monkeypatch):
    """The gradients of one step of training at a share, as the optimiser meets them, in float32."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: None)
    met = {}

    def step(optimiser):
        met["gradients"] = [p.grad.clone() for group in optimiser.param_groups for p in group["params"]]

    monkeypatch.setattr(torch.optim.AdamW, "step", step)

    def one(share: float, seed: int = 1) -> torch.Tensor:
        # The weights' seed stays; that of the draws is the recipe's too.
        monkeypatch.setattr("strata.organism.training.build_model", lambda _: build_model(TINY))
        next(train(TOKENS, 0 * TOKENS, ["all"], replace(TINY, every_depth=share, seed=seed)))
        return torch.cat([g.flatten() for g in met["gradients"]])

    return one


def slow_loss(model, depths: range) -> torch.Tensor:
    """Mean over depths of the mean next-token loss of their readouts, token by token."""
    losses, states = {depth: [] for depth in depths}, {}
    for depth in depths:

        def keep(block, args, output, depth=depth):
            states[depth] = output[0] if isinstance(output, tuple) else output

        model.transformer.h[depth - 1].register_forward_hook(keep)
    for row in torch.from_numpy(TOKENS):
        model(input_ids=row[None])
        for depth in depths:
            for at in range(len(row) - 1):
                logits = model.lm_head(model.transformer.ln_f(states[depth].reshape(len(row), -1)[at]))
                losses[depth].append(cross_entropy(logits, row[at + 1]))
    return sum(sum(of_one) / len(of_one) for of_one in losses.values()) / len(depths)


def slow_gradient(depths: range) -> torch.Tensor:
    model = build_model(TINY)
    slow_loss(model, depths).backward()
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    return torch.cat([p.grad.flatten() for p in (*matrices, *vectors)])


def test_without_a_share_the_last_depth_alone_is_trained(stepped):
    torch.testing.assert_close(stepped(0.0), slow_gradient(range(3, 4)), atol=1e-6, rtol=1e-4)


def test_at_a_share_of_one_every_depth_counts_alike(stepped):
    torch.testing.assert_close(stepped(1.0), slow_gradient(range(1, 4)), atol=1e-6, rtol=1e-4)


@pytest.mark.long
def test_a_smaller_share_is_right_on_average(stepped):
    """The mean gradient over draws, against its own standard error in a direction that is drawn."""
    whole = slow_gradient(range(1, 4))
    draws = torch.stack([stepped(0.1, seed) for seed in range(200)])
    directions = torch.randn(20, len(whole), generator=torch.Generator().manual_seed(0))
    apart = (draws - whole) @ directions.T
    errors = apart.std(0) / len(draws) ** 0.5
    assert (errors > 0).all()
    z = apart.mean(0) / errors
    assert z.abs().max() < 4 and z.pow(2).mean() < 2
    # Were only the last depth trained, it would show.
    last = ((slow_gradient(range(3, 4)) - whole) @ directions.T) / errors
    assert last.abs().max() > 8


def test_the_table_of_losses_is_of_the_last_depth_whatever_the_share(monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    told = [
        next(train(TOKENS, 0 * TOKENS, ["x"], replace(TINY, every_depth=share)))[1] for share in (0.0, 0.5)
    ]
    expected = slow_loss(build_model(TINY), range(3, 4)).item()
    for losses in told:
        assert losses == pytest.approx({"all": expected, "x": expected}, rel=1e-4)
