"""Every family of the table against Hugging Face: stream, sub-blocks, blocks alone, logits."""

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from oracles import tiny_models
from strata.model.architecture import Past, find_parts
from strata.model.capture import capture
from strata.model.equalities import check
from strata.model.families import FAMILIES
from strata.model.readout import decoder_from
from strata.model.weights import norm_parameters, weights

IDS = torch.tensor([[5, 17, 3, 60, 2, 44, 9, 71], [9, 9, 41, 0, 96, 3, 8, 12]])
EVERY = pytest.mark.parametrize("name", tiny_models.NAMES)
CLOSE = {"atol": 1e-4, "rtol": 1e-5}


def built(name):
    model = tiny_models.build(name)
    return model, find_parts(model)


def weights_of(model):
    return weights(model, lambda ids: [f"t{i}" for i in ids])


def test_every_entry_of_the_table_has_a_tiny_model():
    assert {model.__name__ for model, *_ in tiny_models.MODELS.values()} == set(FAMILIES)


@EVERY
def test_residual_stream_is_hugging_face_hidden_states(name):
    model, parts = built(name)
    taken = capture(parts, IDS)
    output = model(input_ids=IDS, output_hidden_states=True, use_cache=False)
    assert taken.resid.shape == (tiny_models.LAYERS + 1, *IDS.shape, tiny_models.WIDTH)
    for depth in range(tiny_models.LAYERS):
        torch.testing.assert_close(taken.resid[depth], output.hidden_states[depth], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(taken.logits_last, output.logits[:, -1])
    expected = output.logits.log_softmax(-1)[:, :-1].gather(-1, IDS[:, 1:, None])[..., 0]
    torch.testing.assert_close(taken.logprob_next[:, :-1], expected, atol=1e-5, rtol=1e-5)
    assert taken.logprob_next[:, -1].isnan().all()


@EVERY
def test_the_last_depth_gives_the_logits_from_the_parts_and_from_the_weights_alone(name):
    model, parts = built(name)
    last = capture(parts, IDS, ["resid"]).resid[-1]
    logits = model(input_ids=IDS).logits
    torch.testing.assert_close(parts.logits(last), logits, **CLOSE)
    torch.testing.assert_close(decoder_from(weights_of(model)).logits(last), logits, **CLOSE)


@EVERY
def test_what_attention_and_mlp_add_is_the_difference_between_depths(name):
    taken = capture(find_parts(tiny_models.build(name)), IDS)
    total = taken.resid[:-1] + taken.attn_out + taken.mlp_out
    torch.testing.assert_close(total, taken.resid[1:], **CLOSE)
    assert taken.attn_out.abs().amin((1, 2, 3)).all() and taken.mlp_out.abs().mean() > 0.01


@EVERY
def test_attention_of_the_last_position_is_hugging_faces(name):
    model, parts = built(name)
    taken = capture(parts, IDS)
    patterns = model(input_ids=IDS, output_attentions=True, use_cache=False).attentions
    for layer in range(tiny_models.LAYERS):
        expected = patterns[layer][:, :, -1].transpose(0, 1)
        torch.testing.assert_close(taken.attention_last[layer], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("gpt-neo", [False, True] * 2),
        ("mistral", [True] * 4),
        *((name, [True, False] * 2) for name in ("qwen2", "gemma2", "gemma3")),
    ],
)
def test_the_tiny_windows_are_narrower_than_the_text(name, local):
    last = capture(find_parts(tiny_models.build(name)), IDS).attention_last
    unseen = last[..., : -tiny_models.WINDOW] == 0
    assert unseen.flatten(1).all(1).tolist() == local and unseen.flatten(1).any(1).tolist() == local


@EVERY
@pytest.mark.parametrize("start", [0, 1, 5])
def test_a_block_run_alone_does_what_it_does_in_the_model(name, start):
    """From any position on, in a row of its own or together, given the keys and values before."""
    model, parts = built(name)
    resid = capture(parts, IDS, ["resid"]).resid
    cache = DynamicCache()
    model(input_ids=IDS, past_key_values=cache, use_cache=True)
    for layer, kept in enumerate(cache.layers):
        past = Past(kept.keys[:, :, :start], kept.values[:, :, :start]) if start else None
        found = parts.run_block(layer, resid[layer][:, start:], start, past)
        torch.testing.assert_close(found, resid[layer + 1][:, start:], **CLOSE)
        alone = Past(kept.keys[1:, :, :start], kept.values[1:, :, :start]) if start else None
        found = parts.run_block(layer, resid[layer][1:, start:].repeat(3, 1, 1), start, alone)
        torch.testing.assert_close(found, resid[layer + 1][1:, start:].expand(3, -1, -1), **CLOSE)


@EVERY
def test_norms_from_their_parameters(name):
    _, parts = built(name)
    hidden = 3 * torch.randn(4, 7, tiny_models.WIDTH) + 1
    norms = [parts.final_norm, *parts.norm1s, *parts.norm2s]
    for module in norms:
        norm = norm_parameters(module, tiny_models.WIDTH)
        torch.testing.assert_close(norm(hidden), module(hidden), atol=1e-5, rtol=1e-5)
    lacks_norm1, lacks_norm2 = not parts.norm1s, not parts.norm2s
    assert lacks_norm1 == (name == "olmo2")
    assert lacks_norm2 == (name in {"olmo2", "gpt-j", "phi", "falcon"})


@EVERY
def test_what_a_family_lacks_is_not_in_its_weights(name):
    model, parts = built(name)
    found = weights_of(model)
    assert ("position_embedding" in found) == (name in {"gpt2", "gpt-neo", "opt", "opt-350m"})
    assert ("norm1_gain" in found) == (name not in {"olmo2", "opt-350m"})
    assert ("norm2_gain" in found) == (name not in {"olmo2", "opt-350m", "gpt-j", "phi", "falcon"})
    assert found.sizes["channel"] == parts.n_channels == tiny_models.WIDTH
    assert found.attrs["n_layers"] == tiny_models.LAYERS
    tied = parts.unembedding.weight is parts.token_embedding.weight and parts.project_in is None
    both = (found[matrix].values for matrix in ("token_embedding", "unembedding"))
    assert np.shares_memory(*both) == tied and tied >= (name in {"gpt2", "gemma3"})
    assert parts.parallel == (name in tiny_models.PARALLEL)
    assert parts.n_heads == tiny_models.HEADS


@EVERY
def test_depth_0_is_made_of_the_rows_that_the_weights_hold(name):
    """But for Gemma's factor and BLOOM's norm, which are no part of the matrix."""
    model, parts = built(name)
    found = weights_of(model)
    expected = torch.from_numpy(found["token_embedding"].values)[IDS]
    if "position_embedding" in found:
        expected = expected + torch.from_numpy(found["position_embedding"].values)[: IDS.shape[1]]
        assert found.sizes["position"] == tiny_models.POSITIONS
    if name.startswith("gemma"):
        expected = expected * tiny_models.WIDTH**0.5
    if name == "bloom":
        expected = model.transformer.word_embeddings_layernorm(expected)
    if name == "ctrl":
        expected = expected * tiny_models.WIDTH**0.5 + model.transformer.pos_encoding[: IDS.shape[1]]
    torch.testing.assert_close(parts.embed(IDS), expected, atol=1e-5, rtol=1e-5)


@EVERY
def test_what_models_are_held_to_on_loading_holds(name):
    check(find_parts(tiny_models.build(name)))
