import numpy as np
import pytest
import torch

from oracles import lens as oracle
from oracles import planted
from strata.architecture import find_parts, norm_parameters
from strata.capture import capture
from strata.decoders import LogitDecoder, Norm
from strata.lens import read_out

DEPTHS, TOKENS, WIDTH, VOCAB = 4, 7, 16, 103


def example(kind="layer", with_bias=True, seed=0):
    torch.manual_seed(seed)
    resid = torch.randn(DEPTHS, TOKENS, WIDTH) * torch.tensor([0.1, 1.0, 5.0, 30.0])[:, None, None] + 0.3
    gain, shift = torch.rand(WIDTH) + 0.5, torch.randn(WIDTH)
    norm = Norm(kind, gain, shift if kind == "layer" else None, 1e-5)
    decoder = LogitDecoder(norm, torch.randn(VOCAB, WIDTH), torch.randn(VOCAB) if with_bias else None)
    input_ids = torch.randint(VOCAB, (TOKENS,))
    target_ids = torch.randint(VOCAB, (TOKENS,))
    target_ids[2] = -1
    return resid, decoder, input_ids, target_ids


def expected(resid, decoder, input_ids, target_ids):
    gain = decoder.norm.gain.double().numpy()
    if decoder.norm.kind == "layer":
        shift = decoder.norm.bias.double().numpy()

        def norm(x):
            return oracle.layer_norm(x, gain, shift, decoder.norm.eps)
    else:

        def norm(x):
            return oracle.rms_norm(x, gain, decoder.norm.eps)

    bias = np.zeros(VOCAB) if decoder.bias is None else decoder.bias.double().numpy()
    weights = decoder.unembedding.double().numpy()
    return oracle.read_out(resid.double().numpy(), norm, weights, bias, input_ids.numpy(), target_ids.numpy())


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind,with_bias", [("layer", True), ("layer", False), ("rms", False)])
@pytest.mark.parametrize("tile,chunk", [(7, 103), (3, 25), (2, 64)])
def test_lens_agrees_with_whole_vocabulary_in_float64(kind, with_bias, tile, chunk, compiled):
    if compiled and (tile, kind) != (3, "layer"):
        pytest.skip("one shape is enough to compile for")
    inputs = example(kind, with_bias)
    out = read_out(*inputs, top_k=5, tile=tile, chunk=chunk, compiled=compiled)
    truth = expected(*inputs)
    logits = truth.pop("logits")
    for name, values in truth.items():
        if name.startswith("rank"):
            assert np.array_equal(out[name].numpy(), values), name
        else:
            np.testing.assert_allclose(out[name].numpy(), values, atol=2e-4, rtol=2e-5, err_msg=name)
    order = np.argsort(-logits, axis=-1)[..., :5]
    assert np.array_equal(out["top_id"].numpy(), order)
    np.testing.assert_allclose(
        out["top_logit"].numpy(), np.take_along_axis(logits, order, -1), atol=1e-4, rtol=1e-5
    )
    total = np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1)) + logits.max(-1)
    np.testing.assert_allclose(
        (out["top_logit"] - out["top_logprob"])[..., 0].numpy(), total, atol=1e-4, rtol=1e-5
    )


def test_equal_logits_share_the_top_rank():
    resid, decoder, input_ids, target_ids = example()
    unembedding = decoder.unembedding.clone()
    unembedding[1::2] = unembedding[:-1:2]
    twin = LogitDecoder(decoder.norm, unembedding)
    even = torch.zeros(TOKENS, dtype=torch.long)
    for ids in (even, even + 1):
        ranks = read_out(resid, twin, ids, target_ids, top_k=2, chunk=50)["rank_of_input"]
        assert (ranks % 2 == 0).all()  # every pair ahead counts twice, its own twin not at all


def test_blocks_that_add_nothing_decode_alike_at_every_depth():
    model = planted.idle_blocks()
    parts = find_parts(model)
    ids = torch.tensor([[4, 8, 1, 9]])
    taken = capture(parts, ids)
    decoder = LogitDecoder(norm_parameters(parts.final_norm), parts.unembedding.weight)
    out = read_out(taken.resid[:, 0], decoder, ids[0], torch.tensor([8, 1, 9, -1]), top_k=3)
    assert (out["kl_final"] < 1e-6).all() and (out["kl_input"] < 1e-6).all()
    assert (out["rank_of_final"] == 0).all()
    assert (out["top_id"] == out["top_id"][:1]).all()
