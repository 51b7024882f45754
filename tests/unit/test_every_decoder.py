"""What must be true of the readouts of every decoder, on models of every family."""

import numpy as np
import pytest
import torch

from oracles import lens as oracle
from oracles import planted, tiny_models
from oracles.captured import activations_of, decoder_of
from strata.lens import jacobian
from strata.lens.decoders import DepthMaps
from strata.lens.extended import carry_through
from strata.lens.readout import carry_by, read_activations
from strata.lens.stream import stream_depths
from strata.model.architecture import find_parts

DECODERS = ["logit", "extended", "tuned", "jacobian"]
IDS = [5, 17, 3, 88, 42, 17, 9]
OTHER = [5, 17, 3, 88, 1, 2, 4]


def carry_of(decoder, parts):
    n_layers, n_channels = parts.n_layers, parts.n_channels
    if decoder == "extended":
        return carry_through(parts, 2)
    if decoder == "logit":
        return carry_by(n_layers=n_layers)
    if decoder == "jacobian":
        return carry_by(jacobian.fit(parts, [IDS], 1), n_layers=n_layers)
    torch.manual_seed(0)
    maps = DepthMaps.identity(stream_depths(n_layers)[:-1], n_channels, n_layers)
    maps.weight.add_(0.3 * torch.randn_like(maps.weight))
    maps.bias.add_(0.3 * torch.randn_like(maps.bias))
    return carry_by(maps, n_layers=n_layers)


def read(parts, carry, ids, top_k=3, updates=False):
    targets = np.array([*ids[1:], -1])
    return read_activations(activations_of(parts, ids), decoder_of(parts), carry, targets, top_k, updates)


@pytest.mark.parametrize("family", tiny_models.NAMES)
@pytest.mark.parametrize("decoder", DECODERS)
def test_readouts_are_those_of_the_definition(family, decoder):
    """Against the whole vocabulary in float64, from the carried states on."""
    parts = find_parts(tiny_models.build(family))
    carry = carry_of(decoder, parts)
    out, of_updates = read(parts, carry, IDS), read(parts, carry, IDS, updates=True)
    resid, attn_out, mlp_out = (
        torch.from_numpy(activations_of(parts, IDS)[name].values) for name in ("resid", "attn_out", "mlp_out")
    )
    stream = torch.stack([x for d, a in enumerate(attn_out) for x in (resid[d], resid[d] + a)] + [resid[-1]])
    stream, updates = carry(stream, torch.cat([attn_out, mlp_out]), [len(IDS)])
    lens = decoder_of(parts)
    gain = lens.norm.gain.double().numpy()

    def norm(x):
        if lens.norm.kind == "none":
            return x
        if lens.norm.kind == "rms":
            return oracle.rms_norm(x, gain, lens.norm.eps)
        return oracle.layer_norm(x, gain, lens.norm.bias.double().numpy(), lens.norm.eps)

    weight = lens.unembedding.double().numpy()
    bias = 0 if lens.bias is None else lens.bias.double().numpy()
    cap = 2.0 if family == "gemma2" else None
    truth = oracle.read_out(stream.double().numpy(), norm, weight, bias, IDS, [*IDS[1:], -1], cap)
    logits = truth.pop("logits")
    for name, values in truth.items():
        np.testing.assert_allclose(out[name].numpy(), values, atol=2e-4, rtol=1e-3, err_msg=name)
    for update, found in zip(updates, of_updates["top_logit"], strict=True):
        expected = np.array([weight @ norm(x) + bias for x in update.double().numpy()])
        expected = cap * np.tanh(expected / cap) if cap else expected
        np.testing.assert_allclose(found[:, 0], expected.max(-1), atol=2e-4, rtol=1e-3)
    assert np.array_equal(out["top_id"][..., 0], logits.argmax(-1))


@pytest.mark.parametrize("family", tiny_models.NAMES)
@pytest.mark.parametrize("decoder", DECODERS)
def test_the_last_depth_is_the_model_itself(family, decoder):
    model = tiny_models.build(family)
    parts = find_parts(model)
    out = read(parts, carry_of(decoder, parts), IDS, top_k=tiny_models.VOCAB)
    last = 2 * parts.n_layers
    logits = model(input_ids=torch.tensor([IDS])).logits[0]
    sorted_logits = logits.sort(-1, descending=True)
    torch.testing.assert_close(out["top_logit"][last], sorted_logits.values, atol=2e-5, rtol=1e-4)
    assert torch.equal(out["top_id"][last, :, 0], sorted_logits.indices[:, 0])
    assert (out["kl_final"][last] == 0).all() and (out["rank_of_final"][last] == 0).all()
    assert (out["kl_final"][:last].mean(1) > 0).any()


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_later_token_changes_no_earlier_readout(decoder):
    parts = find_parts(tiny_models.build("gpt2"))
    carry = carry_of(decoder, parts)
    one, other = (read(parts, carry, ids) for ids in (IDS, OTHER))
    same = 4
    for name in ("top_id", "top_logit", "entropy", "kl_final", "kl_input", "rank_of_final", "rank_of_guess"):
        torch.testing.assert_close(one[name][:, :same], other[name][:, :same], atol=1e-4, rtol=1e-4)
        assert not torch.allclose(one[name][:, same:].double(), other[name][:, same:].double(), atol=1e-2), (
            name
        )


def test_the_lens_sees_a_planted_transfer_from_its_attention_on():
    layer, subject, last = 3, 1, 5
    parts = find_parts(planted.one_transfer(layer, last, subject))
    ids = [4, 11, 2, 7, 9, 3]
    activations = activations_of(parts, ids)
    targets = np.array([-1] * 5 + [ids[subject]])
    stream, updates = (
        read_activations(activations, decoder_of(parts), carry_by(n_layers=parts.n_layers), targets, 1, which)
        for which in (False, True)
    )
    guesses = stream["top_id"][:, last, 0]
    there = stream_depths(parts.n_layers) >= layer + 0.5
    assert (guesses[there] == ids[subject]).all()
    assert (stream["logprob_target"][:, last][~there] < -2).all()
    # Of all that sub-blocks add, one attention says it.
    said = updates["logprob_target"][:, last].exp()
    assert said.argmax() == layer and (said > 0.5).sum() == 1
