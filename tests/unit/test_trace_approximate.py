from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from oracles import fractions, tiny_models
from oracles.noised import IDS, TARGET, noised, table
from strata.model.architecture import find_parts
from strata.trace import approximate as approximation
from strata.trace import dataset
from strata.trace.approximate import approximate, approximate_many, first_order
from strata.trace.dataset import as_dataset
from strata.trace.sites import restoration
from strata.trace.sweep import trace_prompts

IN_FLOAT32 = {
    *("gpt-neo", "gpt-j", "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "olmo2", "smollm3"),
}
"""Families whose norms, or products of queries and keys, are in float32 whatever the model is in."""

SAME = {"atol": 5e-5, "rtol": 1e-5}


def wide(name):
    """A tiny model in float64."""
    return find_parts(tiny_models.build(name).double())


def exact(parts, prompts):
    return trace_prompts(parts, prompts, {"state": restoration("state", parts.n_layers)})["state"]


def prompt_of(parts, **options):
    options = {"subject": (2,), "samples": 1, "others": [(40,)], "size": 0.3} | options
    return noised(IDS[:5], width=parts.token_embedding.embedding_dim, **options)


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_effects_are_slopes_where_restoring_begins(name):
    """Every site by differences: a thousandth of what noise has changed is put back, and taken away."""
    parts = wide(name)
    prompt = prompt_of(parts)
    found = first_order(parts, [prompt]).effects
    expected = fractions.slope(parts, prompt)
    assert found.shape == expected.shape == (2, 2, parts.n_layers, 5)
    largest = expected.abs().amax((1, 2, 3))
    assert (largest > 0.05).all()
    error = (found.double() - expected).abs().amax((1, 2, 3))
    assert (error < 1e-3 * largest).all(), error / largest


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in tiny_models.NAMES if name not in IN_FLOAT32])
def test_errors_fall_with_the_square_of_the_noise(name, monkeypatch):
    """In float64, the softmax too: with half of the noise the error is a quarter, the effect a half."""
    softmax = nn.functional.softmax
    monkeypatch.setattr(nn.functional, "softmax", lambda scores, dim=-1, dtype=None: softmax(scores, dim=dim))
    parts = wide(name)

    def of(size):
        prompt = prompt_of(parts, others=(), size=size)
        corrupted = fractions.restored(parts, prompt, 0)
        effect = fractions.restored(parts, prompt, 1) - corrupted
        return effect, first_order(parts, [prompt]).effects - effect

    (effect, error), (half_effect, half_error) = of(2e-4), of(1e-4)
    for values, half, ratio in ((effect, half_effect, 2), (error, half_error, 4)):
        large = values.abs() > 0.1 * values.abs().amax((1, 2, 3), keepdim=True)
        torch.testing.assert_close(
            values[large] / half[large], torch.full_like(values[large], ratio), atol=0.1, rtol=0
        )
    assert error.abs().max() < 0.02 * effect.abs().max()


def test_a_model_that_is_linear_is_traced_exactly():
    """Without attention, activations and divisors of norms, logits are linear in every state."""
    model = tiny_models.build("gpt2")
    parts = find_parts(model)
    for block in parts.blocks:
        block.ln_1, block.ln_2, block.mlp.act = nn.Identity(), nn.Identity(), nn.Identity()
        nn.init.zeros_(block.attn.c_attn.weight[:, : 2 * tiny_models.WIDTH])  # every position alike
        nn.init.zeros_(block.attn.c_attn.bias[: 2 * tiny_models.WIDTH])
    model.transformer.ln_f = nn.Identity()
    parts = find_parts(model)
    prompts = [prompt_of(parts), prompt_of(parts, subject=(1, 2), others=[(4, 8)], seed=1)]
    for ours, theirs in zip(approximate(parts, prompts), exact(parts, prompts), strict=True):
        found, expected = ours.restored[1], theirs.restored[1]
        torch.testing.assert_close(found, expected, equal_nan=True, atol=2e-3, rtol=1e-4)
        # The last position reads all others, so that something is to be restored everywhere in the subject.
        assert (expected[:, 0, 2] - theirs.corrupted[1]).abs().min() > 0.01


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "opt-350m"])
def test_runs_and_labels_are_those_of_the_exact_trace(name):
    parts = find_parts(tiny_models.build(name))
    width = parts.token_embedding.embedding_dim
    prompts = [
        noised(subject=(3, 4), seed=1, width=width),
        noised(IDS[:5], subject=(2,), others=[(4,)], seed=2, width=width),
        noised(IDS[::-1], subject=(1,), samples=1, seed=3, width=width),
    ]
    for ours, theirs in zip(approximate(parts, prompts), exact(parts, prompts), strict=True):
        assert ours.labels == theirs.labels and ours.alternative_id == theirs.alternative_id
        torch.testing.assert_close(ours.corrupted, theirs.corrupted[:2], **SAME)
        torch.testing.assert_close(ours.clean, theirs.clean[:2], **SAME)
        assert torch.equal(ours.restored.isnan(), theirs.restored[:2].isnan())
        assert ours.restored.dtype == torch.float32
        assert (ours.restored[0].nan_to_num() <= 0).all(), "log-probabilities, nothing cut off"


def test_small_pieces_and_prompts_together_change_nothing(monkeypatch):
    parts = find_parts(tiny_models.build("qwen3"))
    prompts = [noised(subject=(2,), others=[(7,)]), noised(subject=(4,), seed=1), noised(IDS[:4], seed=2)]
    whole = approximate(parts, prompts)
    monkeypatch.setattr(approximation, "PIECE", 2 * tiny_models.VOCAB)
    for one, other in zip(whole, approximate(parts, prompts, max_rows=1), strict=True):
        torch.testing.assert_close(other.restored, one.restored, equal_nan=True, **SAME)


def test_where_nothing_was_noised_restoring_does_nothing():
    parts = find_parts(tiny_models.build("llama"))
    [trace] = approximate(parts, [noised(subject=(2,), size=0.0)])
    for measure in range(2):
        values = trace.restored[measure, ..., 2:]
        torch.testing.assert_close(values, trace.clean[measure].expand_as(values), **SAME)


def test_half_precision_is_multiplied_in_float32():
    parts = find_parts(tiny_models.build("gpt2").bfloat16())
    found = first_order(parts, [noised()])
    assert found.effects.dtype == torch.float32 and found.effects.isfinite().all()


def test_pieces_have_the_labels_of_the_exact_dataset(monkeypatch):
    parts = find_parts(tiny_models.build("gpt2"))
    prompts = [noised(IDS[:n], subject=(s,), others=[(4,)][: n % 2]) for n, s in ((5, 1), (6, 2), (5, 3))]
    rows = [(f"p{i}", "rote", p.subject[0], p.subject[-1], TARGET) for i, p in enumerate(prompts)]
    more = {"target": " x", "top_str": " y", "n_tokens": [len(p.input_ids) for p in prompts]}
    labels = {
        "table": table(rows, **more),
        "token_strings": [[str(i) for i in p.input_ids] for p in prompts],
        "levels": {"1": 1.0},
    }
    theirs = as_dataset(
        exact(parts, prompts), labels["table"], labels["token_strings"], labels["levels"], "depth"
    )
    for values in (1, 2**20):
        monkeypatch.setattr(dataset, "VALUES", values)
        pieces = list(approximate_many(parts, prompts, **labels))
        assert len(pieces) == (3 if values == 1 else 1)
        start = 0
        for piece in pieces:
            own = theirs.isel(prompt=slice(start, start := start + piece.sizes["prompt"]))
            names = ["p_target", "p_corrupted", "p_clean"]
            names += [f"logit_difference{end}" for end in ("", "_corrupted", "_clean")]
            assert sorted(piece.data_vars) == sorted(names)
            assert set(piece.coords) == set(own.coords)
            for name in own.coords:
                np.testing.assert_array_equal(piece[name].values, own[name].values, err_msg=name)
            for name in names:
                assert piece[name].dims == own[name].dims
                np.testing.assert_array_equal(piece[name].isnull(), own[name].isnull(), err_msg=name)
            assert piece["p_target"].max() <= 1 and piece["p_target"].min() >= 0


def test_only_levels_that_a_prompt_has_are_filled():
    parts = find_parts(tiny_models.build("gpt2"))
    prompts = [replace(noised(others=[(4,)]), completions=(1, 2)), noised(seed=1)]
    first, second = approximate(parts, prompts)
    assert first.restored.shape[1] == 3 and second.restored.shape[1] == 2
