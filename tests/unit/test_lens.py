from math import inf

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from oracles import lens as oracle
from oracles import planted
from strata.lens import readout as lens
from strata.lens.comparison import at_whole_depths
from strata.lens.decoders import DepthMaps
from strata.lens.labels import as_dataset, next_tokens
from strata.lens.readout import carry_by, pieces_of, read_activations, read_out
from strata.lens.stream import pieces, stream_depths
from strata.model.architecture import find_parts
from strata.model.capture import capture
from strata.model.norms import Norm
from strata.model.readout import LogitDecoder
from strata.model.weights import norm_parameters

DEPTHS, TOKENS, WIDTH = 4, 7, 16
SCALES = torch.tensor([0.1, 1.0, 5.0, 300.0])[:, None, None]  # norms grow, and one depth is far out


def example(kind="layer", with_bias=True, vocab=103, seed=0):
    torch.manual_seed(seed)
    resid = torch.randn(DEPTHS, TOKENS, WIDTH) * SCALES + 0.3
    resid[:, 3, 5] *= 100  # an outlier channel of one token
    gain, shift = torch.rand(WIDTH) + 0.5, torch.randn(WIDTH)
    norm = Norm(kind, gain, shift if kind == "layer" else None, 1e-5)
    # Logits far from zero, as GPT-2's are.
    bias = torch.randn(vocab) - 100 if with_bias else None
    decoder = LogitDecoder(norm, torch.randn(vocab, WIDTH), bias)
    input_ids = torch.randint(vocab, (TOKENS,))
    target_ids = torch.randint(vocab, (TOKENS,))
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

    bias = 0 if decoder.bias is None else decoder.bias.double().numpy()
    weights = decoder.unembedding.double().numpy()
    return oracle.read_out(resid.double().numpy(), norm, weights, bias, input_ids.numpy(), target_ids.numpy())


def check_against_oracle(monkeypatch, inputs, tile, group, compile_from):
    padded = 64 * -(-len(inputs[1].unembedding) // 64)
    monkeypatch.setattr(lens, "GROUP", group * DEPTHS * padded)
    out = read_out(*inputs, top_k=5, max_bytes=4 * tile * DEPTHS * padded, compile_from=compile_from)
    truth = expected(*inputs)
    logits = truth.pop("logits")
    for name, values in truth.items():
        if name.startswith("rank"):
            assert np.array_equal(out[name].numpy(), values), name
        else:
            # Logits near 100 have errors near 1e-5 in single precision.
            np.testing.assert_allclose(out[name].numpy(), values, atol=5e-5, rtol=1e-5, err_msg=name)
    order = np.argsort(-logits, axis=-1)[..., :5]
    assert np.array_equal(out["top_id"].numpy(), order)
    rank = (logits[..., None, :] > logits[..., :, None]).sum(-1)
    guesses = np.broadcast_to(logits.argmax(-1).T, (DEPTHS, TOKENS, DEPTHS))
    assert np.array_equal(out["rank_of_guess"].numpy(), np.take_along_axis(rank, guesses, -1))
    best = np.take_along_axis(logits, order, -1)
    np.testing.assert_allclose(out["top_logit"].numpy(), best, atol=5e-5, rtol=1e-5)
    total = np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
    logprob = best - logits.max(-1, keepdims=True) - total
    np.testing.assert_allclose(out["top_logprob"].numpy(), logprob, atol=5e-5, rtol=1e-5)


@pytest.mark.parametrize("kind,with_bias", [("layer", True), ("layer", False), ("rms", True)])
@pytest.mark.parametrize(
    "vocab,tile,group",
    [(103, 7, 7), (103, 3, 2), (128, 2, 1), (30, 5, 5)],  # vocabularies on and off the block's size
)
def test_lens_agrees_with_whole_vocabulary_in_float64(monkeypatch, kind, with_bias, vocab, tile, group):
    check_against_oracle(monkeypatch, example(kind, with_bias, vocab), tile, group, inf)


@pytest.mark.long
def test_compiled_lens_agrees_too(monkeypatch):
    check_against_oracle(monkeypatch, example(), tile=3, group=2, compile_from=0)


def test_where_no_target_is_there_is_no_rank_of_it():
    out = read_out(*example(), top_k=1)
    assert (out["rank_of_target"][:, 2] == -1).all() and out["logprob_target"][:, 2].isnan().all()
    others = [0, 1, 3, 4, 5, 6]
    assert (out["rank_of_target"][:, others] >= 0).all() and out["logprob_target"][:, others].isfinite().all()


@pytest.mark.parametrize("tile,group", [(7, 7), (3, 2)])
def test_words_are_looked_up_where_they_are_asked_for(monkeypatch, tile, group):
    inputs = example()
    monkeypatch.setattr(lens, "GROUP", group * DEPTHS * 128)
    ids = torch.full((TOKENS, 2), -1)
    ids[1], ids[4], ids[6] = torch.tensor([[5, 102], [0, 7], [3, 3]])
    out = read_out(*inputs, top_k=1, word_ids=ids, max_bytes=4 * tile * DEPTHS * 128)
    logits = expected(*inputs)["logits"]
    for token in range(TOKENS):
        for word, id in enumerate(ids[token].tolist()):
            logprob, rank = (out[name][:, token, word].numpy() for name in ("logprob_word", "rank_of_word"))
            if id < 0:
                assert np.isnan(logprob).all() and (rank == -1).all()
                continue
            for depth, own in enumerate(logits[:, token]):
                assert rank[depth] == sum(z > own[id] for z in own)
                truth = oracle.log_softmax(own)[id]
                assert logprob[depth] == pytest.approx(truth, abs=5e-5, rel=1e-5)
    assert "logprob_word" not in read_out(*inputs, top_k=1)


def test_references_are_read_from_the_same_product():
    """Exactly, not nearly: the final top-1 is on top, and a distribution is at 0 nats from itself."""
    torch.manual_seed(3)
    resid = torch.randn(13, 29, 256)
    decoder = LogitDecoder(Norm("rms", torch.ones(256), None, 1e-5), torch.randn(4999, 256))
    ids = torch.randint(4999, (29,))
    out = read_out(resid, decoder, ids, ids, top_k=1, max_bytes=2**22)
    assert (out["rank_of_final"][-1] == 0).all()
    assert (out["kl_final"][-1] == 0).all() and (out["kl_input"][0] == 0).all()
    assert torch.equal(out["logprob_final"][-1], out["top_logprob"][-1, :, 0])
    assert torch.equal(out["logprob_target"], out["logprob_input"])
    top = out["rank_of_input"] == 0
    assert torch.equal(out["top_logit"][top], (out["top_logit"])[out["top_id"] == ids[:, None]].view(-1, 1))


def test_equal_logits_share_a_rank_and_stand_by_id():
    """Every entry has a twin: no rank is odd, twins rank alike, and the even one is named first."""
    torch.manual_seed(0)
    unembedding = torch.randn(2501, 256).repeat_interleave(2, 0)
    decoder = LogitDecoder(Norm("rms", torch.ones(256), None, 1e-5), unembedding)
    resid, ids = torch.randn(13, 20, 256), torch.randint(2501, (20,)) * 2
    out = read_out(resid, decoder, ids, ids + 1, top_k=6)
    assert (out["rank_of_input"] % 2 == 0).all()
    assert torch.equal(out["rank_of_input"], out["rank_of_target"])
    assert (out["top_id"][..., ::2] % 2 == 0).all()
    assert torch.equal(out["top_id"][..., 1::2], out["top_id"][..., ::2] + 1)


def test_a_vocabulary_of_equal_logits_is_uniform():
    decoder = LogitDecoder(Norm("rms", torch.ones(8), None, 1e-5), torch.ones(200, 8))
    out = read_out(torch.randn(3, 2, 8), decoder, torch.tensor([5, 7]), torch.tensor([9, -1]), top_k=3)
    assert (out["rank_of_input"] == 0).all() and (out["rank_of_final"] == 0).all()
    torch.testing.assert_close(out["entropy"], torch.full((3, 2), np.log(200).item()))
    assert (out["kl_final"] < 1e-5).all()


def test_guesses_far_apart_in_the_vocabulary_and_side_by_side_are_found():
    bias = torch.zeros(700)
    bias[[3, 130, 200, 201, 300, 450, 640, 699]] = torch.arange(108.0, 100.0, -1)
    decoder = LogitDecoder(Norm("rms", torch.ones(8), None, 1e-5), torch.zeros(700, 8), bias)
    ids = torch.tensor([0, 1])
    out = read_out(torch.randn(2, 2, 8), decoder, ids, ids, top_k=8)
    assert (out["top_id"] == torch.tensor([3, 130, 200, 201, 300, 450, 640, 699])).all()


def test_more_guesses_than_entries_are_all_entries():
    resid, decoder, input_ids, target_ids = example(vocab=30)
    out = read_out(resid, decoder, input_ids, target_ids, top_k=50)
    logits = torch.from_numpy(expected(resid, decoder, input_ids, target_ids)["logits"])
    assert torch.equal(out["top_id"], logits.argsort(-1, descending=True))
    torch.testing.assert_close(out["top_logprob"].exp().sum(-1), torch.ones(DEPTHS, TOKENS))


def test_tiles_change_nothing():
    resid, decoder, input_ids, target_ids = example()
    whole = read_out(resid, decoder, input_ids, target_ids, top_k=3)
    for t in range(TOKENS):
        one = slice(t, t + 1)
        alone = read_out(resid[:, one], decoder, input_ids[one], target_ids[one], top_k=3)
        for name, value in alone.items():
            torch.testing.assert_close(
                value, whole[name][:, one], atol=5e-5, rtol=1e-5, equal_nan=True, msg=name
            )


class Largest(TorchDispatchMode):
    """Watches every operation for the largest tensor it makes, in bytes."""

    size = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.size = max(self.size, leaf.untyped_storage().nbytes())
        return result


def test_logits_are_never_held_whole():
    vocab, tokens, limit = 3000, 50, 500_000
    decoder = LogitDecoder(Norm("rms", torch.ones(8), None, 1e-5), torch.randn(vocab, 8))
    ids = torch.zeros(tokens, dtype=torch.long)
    resid = torch.randn(3, tokens, 8)
    with Largest() as largest:
        read_out(resid, decoder, ids, ids, top_k=2, max_bytes=limit)
    assert 0 < largest.size <= limit < 4 * 3 * tokens * vocab / 3


def test_bad_ids_are_refused():
    resid, decoder, input_ids, target_ids = example()
    with pytest.raises(ValueError, match="7 tokens, 6 input ids"):
        read_out(resid, decoder, input_ids[1:], target_ids, top_k=1)
    with pytest.raises(ValueError, match="vocabulary of 103"):
        read_out(resid, decoder, input_ids, target_ids + 103, top_k=1)
    with pytest.raises(ValueError, match="vocabulary of 103"):
        read_out(resid, decoder, input_ids - 103, target_ids, top_k=1)


def test_blocks_that_add_nothing_decode_alike_at_every_depth():
    model = planted.idle_blocks()
    parts = find_parts(model)
    ids = torch.tensor([[4, 8, 1, 9]])
    taken = capture(parts, ids)
    decoder = LogitDecoder(norm_parameters(parts.final_norm), parts.unembedding.weight)
    out = read_out(taken.resid[:, 0], decoder, ids[0], torch.tensor([8, 1, 9, -1]), top_k=3)
    # Equal states may differ in the last bit of a logit by where they stand in the product.
    assert (out["kl_final"] < 1e-5).all() and (out["kl_input"] < 1e-5).all()
    assert (out["rank_of_final"] == 0).all()
    assert (out["top_id"] == out["top_id"][:1]).all()


PROMPTS = pd.DataFrame(
    {"id": ["b", "a"], "category": ["passages", "semantic"], "fact": ["b", "one"], "target_id": [-1, 2]},
)
ACTIVATIONS = xr.Dataset(
    coords={
        "prompt": ("token", np.array(["a", "a", "b", "b", "b"], dtype=object)),
        "position": ("token", [0, 1, 0, 1, 2]),
        "token_id": ("token", [3, 1, 1, 0, 3]),
        "token_str": ("token", np.array(["Ġd", "b", "b", "a", "Ġd"], dtype=object)),
    }
)


def test_the_next_token_is_the_text_s_then_the_target():
    assert next_tokens(ACTIVATIONS, PROMPTS).tolist() == [1, 2, 0, 3, -1]


def test_what_is_behind_the_stream_is_read_against_the_streams_ends():
    states, decoder, input_ids, target_ids = example()
    out = read_out(states, decoder, input_ids, target_ids, top_k=2, n_stream=3)
    stream = read_out(states[:3], decoder, input_ids, target_ids, top_k=2)
    for name, values in stream.items():
        torch.testing.assert_close(out[name][:3], values, atol=5e-5, rtol=1e-5, equal_nan=True, msg=name)
    logp = decoder.logits(states.double().float()).double().log_softmax(-1)
    kl = (logp[2].exp() * (logp[2] - logp[3])).sum(-1)
    torch.testing.assert_close(out["kl_final"][3].double(), kl, atol=1e-4, rtol=1e-4)
    final = logp[2].argmax(-1)
    own = logp[3].gather(-1, final[:, None])
    assert torch.equal(out["rank_of_final"][3].long(), (logp[3] > own).sum(-1))
    assert torch.equal(out["rank_of_guess"], stream["rank_of_guess"])
    assert out["rank_of_guess"].shape == (3, TOKENS, 3)


@pytest.mark.parametrize("max_tokens,expected", [(1, [2, 3, 1]), (5, [5, 1]), (4, [2, 4]), (99, [6])])
def test_pieces_are_of_whole_prompts(max_tokens, expected):
    found = pieces(np.array(list("aabbbc")), max_tokens)
    assert [piece[-1].stop - piece[0].start for piece in found] == expected
    assert [prompt for piece in found for prompt in piece] == [slice(0, 2), slice(2, 5), slice(5, 6)]


def small_activations(n_layers=2, width=8, seed=0):
    rng = np.random.default_rng(seed)

    def draw(n):
        return (("d", "token", "channel"), rng.normal(size=(n, 5, width)).astype(np.float32))

    arrays = {"resid": draw(n_layers + 1), "attn_out": draw(n_layers), "mlp_out": draw(n_layers)}
    dims = {"resid": "depth", "attn_out": "layer", "mlp_out": "layer"}
    return ACTIVATIONS.assign({n: ((dims[n], "token", "channel"), v) for n, (_, v) in arrays.items()})


def small_decoder(vocab=4, width=8):
    torch.manual_seed(0)
    return LogitDecoder(Norm("rms", torch.ones(width), None, 1e-5), torch.randn(vocab, width))


def test_pieces_change_nothing():
    activations, decoder = small_activations(), small_decoder()
    targets = next_tokens(ACTIVATIONS, PROMPTS)
    carry = carry_by(n_layers=2)
    for updates in (False, True):
        whole = read_activations(activations, decoder, carry, targets, 2, updates)
        cut = pieces_of(activations, max_bytes=1)
        apart = read_activations(activations, decoder, carry, targets, 2, updates, cut=cut)
        for name, values in whole.items():
            torch.testing.assert_close(apart[name], values, equal_nan=True, msg=name)


def test_maps_that_change_nothing_are_the_logit_lens():
    activations, decoder = small_activations(), small_decoder()
    targets = next_tokens(ACTIVATIONS, PROMPTS)
    maps = DepthMaps.identity([0, 0.5, 1, 1.5], 8, 2)
    for updates in (False, True):
        plain = read_activations(activations, decoder, carry_by(n_layers=2), targets, 2, updates)
        mapped = read_activations(activations, decoder, carry_by(maps, n_layers=2), targets, 2, updates)
        for name, values in plain.items():
            torch.testing.assert_close(mapped[name], values, equal_nan=True, msg=name)


def test_an_update_takes_the_map_of_its_blocks_end():
    torch.manual_seed(0)
    maps = DepthMaps(np.arange(4) / 2, torch.randn(4, 8, 8), torch.randn(4, 8), 2)
    stream, updates = torch.randn(5, 3, 8), torch.randn(4, 3, 8)
    carried, carried_updates = carry_by(maps, n_layers=2)(stream, updates, [3])
    for depth in range(4):
        expected = stream[depth] @ maps.weight[depth].T + maps.bias[depth]
        torch.testing.assert_close(carried[depth], expected)
    assert torch.equal(carried[4], stream[4])
    for update in (0, 2):  # what block 0 adds is there from depth 1 on, what the last adds at the end
        expected = updates[update] @ maps.weight[2].T + maps.bias[2]
        torch.testing.assert_close(carried_updates[update], expected)
        assert torch.equal(carried_updates[update + 1], updates[update + 1])


def test_labels():
    vocabulary = np.array(["a", "b", "Ċ", "Ġd"], dtype=object)
    targets = next_tokens(ACTIVATIONS, PROMPTS)
    activations, decoder = small_activations(), small_decoder()
    labels = (activations, targets, vocabulary, PROMPTS)
    fields, of_updates = (
        read_activations(activations, decoder, carry_by(n_layers=2), targets, 2, updates)
        for updates in (False, True)
    )
    stream, updates = as_dataset(fields, *labels), as_dataset(of_updates, *labels, updates=True)
    carry = carry_by(n_layers=2, depths=stream_depths(2, half_depths=False))
    few = read_activations(activations, decoder, carry, targets, 2, rank_guesses=False, half_depths=False)
    xr.testing.assert_allclose(
        as_dataset(few, *labels), at_whole_depths(stream.drop_dims("guess")), atol=1e-5, rtol=1e-5
    )
    assert stream["top_str"].dims == ("depth", "token", "k")
    assert stream["entropy"].dims == ("depth", "token")
    assert stream["rank_of_guess"].dims == ("depth", "token", "guess")
    assert stream["depth"].values.tolist() == stream["guess"].values.tolist() == [0, 0.5, 1, 1.5, 2]
    assert updates["top_id"].dims == ("part", "layer", "token", "k")
    assert updates["part"].values.tolist() == ["attn", "mlp"] and "rank_of_guess" not in updates
    # Small types, and of an update's guesses the first alone.
    assert stream["rank_of_guess"].dtype == np.uint16
    assert stream["top_id"].dtype == updates["top_id"].dtype == stream["rank_of_final"].dtype == np.int32
    assert stream.sizes["k"] == 2 and updates.sizes["k"] == 1
    for dataset in (stream, updates):
        assert dataset["target_str"].values.tolist() == ["b", "Ċ", "a", "Ġd", ""]
        assert dataset["category"].values.tolist() == ["semantic"] * 2 + ["passages"] * 3
        assert dataset["fact"].values.tolist() == ["one"] * 2 + ["b"] * 3
        at = dataset["top_id"].values
        assert (dataset["top_str"].values == vocabulary[at]).all()
        for name in ("entropy", "kl_final", "kl_input", "logprob_target", "top_logprob"):
            assert dataset[name].attrs["units"] == "nat"
        assert dataset["bits_target"].attrs["units"] == "bit"
        np.testing.assert_allclose(dataset["bits_target"], -dataset["logprob_target"] / np.log(2), rtol=1e-6)
    large = as_dataset(fields, activations, targets, np.resize(vocabulary, 2**16 + 1), PROMPTS)
    assert large["rank_of_guess"].dtype == np.int32
    unranked = read_activations(
        activations, decoder, carry_by(n_layers=2), targets, top_k=2, rank_guesses=False
    )
    xr.testing.assert_identical(as_dataset(unranked, *labels), stream.drop_vars(["rank_of_guess", "guess"]))
    # Each state of the stream and each update is where its label says, read by itself.
    for depth, state in (
        (1, activations["resid"][1]),
        (0.5, activations["resid"][0] + activations["attn_out"][0]),
    ):
        logits = decoder.logits(torch.from_numpy(state.values))
        assert np.array_equal(stream["top_id"].sel(depth=depth).isel(k=0), logits.argmax(-1))
    for part, name in (("attn", "attn_out"), ("mlp", "mlp_out")):
        for layer in (0, 1):
            logits = decoder.logits(torch.from_numpy(activations[name][layer].values))
            found = updates["top_logit"].sel(part=part, layer=layer).isel(k=0)
            np.testing.assert_allclose(found, logits.amax(-1), rtol=1e-4)
