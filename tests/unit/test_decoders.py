import numpy as np
import pytest
import torch
import xarray as xr
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from oracles import lens as oracle
from strata.model.norms import Norm
from strata.model.readout import LogitDecoder, decoder_from

WIDTH, VOCAB = 24, 11
HIDDEN = torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(1)) * 7 + 2


def parameters():
    torch.manual_seed(0)
    return torch.rand(WIDTH) + 0.5, torch.randn(WIDTH)


def test_layer_norm_is_torch_s_own_bit_for_bit():
    gain, bias = parameters()
    module = torch.nn.LayerNorm(WIDTH, eps=1e-3)
    module.load_state_dict({"weight": gain, "bias": bias})
    assert torch.equal(Norm("layer", gain, bias, 1e-3)(HIDDEN), module(HIDDEN))


def test_rms_norm_is_the_one_of_llama_bit_for_bit():
    gain, _ = parameters()
    module = LlamaRMSNorm(WIDTH, eps=1e-3)
    module.load_state_dict({"weight": gain})
    assert torch.equal(Norm("rms", gain, None, 1e-3)(HIDDEN), module(HIDDEN))


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_norms_are_what_their_definitions_say(kind):
    gain, bias = parameters()
    bias = bias if kind == "layer" else None
    state, g = HIDDEN[0, 0].double().numpy(), gain.double().numpy()
    if kind == "layer":
        expected = oracle.layer_norm(state, g, bias.double().numpy(), 0.5)
    else:
        expected = oracle.rms_norm(state, g, 0.5)
    np.testing.assert_allclose(Norm(kind, gain, bias, 0.5)(HIDDEN)[0, 0], expected, rtol=2e-6, atol=2e-6)


def test_half_precision_states_are_normed_in_single():
    gain, bias = parameters()
    norm = Norm("layer", gain, bias, 1e-5)
    half = HIDDEN.half()
    assert norm(half).dtype == torch.float32
    assert torch.equal(norm(half), norm(half.float()))


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_decoder_from_a_file_s_arrays(kind, with_bias):
    gain, bias = parameters()
    unembedding, shift = torch.randn(VOCAB, WIDTH), torch.randn(VOCAB)
    weights = xr.Dataset(
        {"unembedding": (("vocab", "channel"), unembedding), "final_norm_gain": ("channel", gain)},
        attrs={"final_norm_kind": kind, "final_norm_eps": np.float64(1e-4)},
    )
    if kind == "layer":
        weights["final_norm_bias"] = ("channel", bias)
    if with_bias:
        weights["unembedding_bias"] = ("vocab", shift)
    decoder = decoder_from(weights)
    normed = Norm(kind, gain, bias if kind == "layer" else None, 1e-4)(HIDDEN)
    expected = normed @ unembedding.T + (shift if with_bias else 0)
    assert (decoder.bias is not None) == with_bias
    torch.testing.assert_close(decoder.logits(HIDDEN), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("with_bias", [False, True])
def test_logits_are_scaled_and_capped_where_the_file_says_so(with_bias):
    gain, shift = parameters()[0], torch.randn(VOCAB)
    unembedding = torch.randn(VOCAB, WIDTH)
    weights = xr.Dataset(
        {"unembedding": (("vocab", "channel"), unembedding), "final_norm_gain": ("channel", gain)},
        attrs={"final_norm_kind": "none", "final_norm_eps": 0.0, "logit_scale": 0.25, "logit_cap": 30.0},
    )
    if with_bias:
        weights["unembedding_bias"] = ("vocab", shift)
    logits = (HIDDEN @ unembedding.T + (shift if with_bias else 0)) * 0.25
    assert logits.abs().max() > 10
    expected = 30 * torch.tanh(logits / 30)
    decoder = decoder_from(weights)
    torch.testing.assert_close(decoder.logits(HIDDEN), expected, atol=1e-5, rtol=1e-5)
    ids = torch.randint(VOCAB, HIDDEN.shape[-2:-1])
    own = expected.gather(-1, ids.expand(HIDDEN.shape[:-1])[..., None])[..., 0]
    torch.testing.assert_close(decoder.logits_at(decoder.rows(HIDDEN), ids), own, atol=1e-5, rtol=1e-5)
    del weights.attrs["logit_cap"]
    torch.testing.assert_close(decoder_from(weights).logits(HIDDEN), logits, atol=1e-5, rtol=1e-5)


def test_logits_lead_from_any_leading_dimensions():
    gain, bias = parameters()
    decoder = LogitDecoder(Norm("layer", gain, bias, 1e-5), torch.randn(VOCAB, WIDTH))
    logits = decoder.logits(HIDDEN)
    assert logits.shape == (3, 5, VOCAB)
    torch.testing.assert_close(logits[1, 2], decoder.logits(HIDDEN[1, 2]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_the_plain_norm_knows_nothing_that_was_learned(kind):
    torch.manual_seed(3)
    weights = xr.Dataset(
        {
            "unembedding": (("vocab", "channel"), np.eye(6, dtype=np.float32)),
            "final_norm_gain": ("channel", np.arange(1, 7, dtype=np.float32)),
            "final_norm_bias": ("channel", np.arange(6, dtype=np.float32)),
        },
        attrs={"final_norm_kind": kind, "final_norm_eps": 0.0},
    )
    states = torch.randn(4, 6)
    centred = states - states.mean(-1, keepdim=True) if kind == "layer" else states
    expected = centred / centred.square().mean(-1, keepdim=True).sqrt()
    torch.testing.assert_close(decoder_from(weights, "plain").logits(states), expected)
    assert not torch.allclose(decoder_from(weights, "whole").logits(states), expected, atol=0.1)
    with pytest.raises(ValueError, match="'half'"):
        decoder_from(weights, "half")
