import numpy as np
import pytest
import torch

from oracles import tiny_models
from oracles.tail import after_mlp, run_tail, stream_of
from strata.lens.extended import carry_through, first_depth
from strata.lens.stream import stream_depths
from strata.model.architecture import find_parts

IDS = [5, 17, 3, 88, 42, 17, 9]
OTHER = [5, 17, 3, 88, 1, 2, 4]


def decode(parts, states):
    return parts.logits(states)


def updates_like(stream, n_layers, seed=0):
    torch.manual_seed(seed)
    return torch.randn(2 * n_layers, *stream.shape[1:])


@pytest.mark.parametrize("family", tiny_models.NAMES)
@pytest.mark.parametrize("last", [0, 1, 2, tiny_models.LAYERS])
def test_blocks_run_in_context_as_the_model_runs_them(family, last):
    model = tiny_models.build(family)
    parts = find_parts(model)
    stream, logits = stream_of(model, parts, IDS)
    updates = updates_like(stream, parts.n_layers)
    carried, carried_updates = carry_through(parts, last)(stream, updates, [len(IDS)])
    begin = parts.n_layers - last
    for depth, state, after in zip(stream_depths(parts.n_layers), stream, carried, strict=True):
        expected = run_tail(model, parts, begin, state, IDS) if depth <= begin else logits
        torch.testing.assert_close(decode(parts, after), expected, atol=2e-5, rtol=1e-4)
    for update, after in zip(updates, carried_updates, strict=True):
        expected = run_tail(model, parts, begin, update, IDS)
        torch.testing.assert_close(decode(parts, after), expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", tiny_models.NAMES)
def test_all_blocks_from_depth_0_are_the_model(family):
    model = tiny_models.build(family)
    parts = find_parts(model)
    stream, logits = stream_of(model, parts, IDS)
    carried, _ = carry_through(parts, parts.n_layers)(stream, stream, [len(IDS)])
    torch.testing.assert_close(decode(parts, carried[0]), logits, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("family", [n for n in tiny_models.NAMES if n not in tiny_models.PARALLEL])
def test_the_last_mlp_alone_begins_after_its_attention(family):
    model = tiny_models.build(family)
    parts = find_parts(model)
    stream, logits = stream_of(model, parts, IDS)
    carried, _ = carry_through(parts, "mlp")(stream, stream, [len(IDS)])
    # Half a block from the end the readout is the model's own: the attention is not lost.
    torch.testing.assert_close(decode(parts, carried[-2]), logits, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(decode(parts, carried[-1]), logits, atol=2e-5, rtol=1e-4)
    # Before it the last attention has not happened yet: the MLP reads the normed state itself.
    for state, after in zip(stream[:-2], carried[:-2], strict=True):
        expected = after_mlp(parts, parts.n_layers - 1, state)[0]
        torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-5)


def test_an_mlp_beside_its_attention_cannot_begin_a_decoder():
    with pytest.raises(ValueError, match="parallel to its attention"):
        carry_through(find_parts(tiny_models.build("gpt-neox")), "mlp")


@pytest.mark.parametrize("last", [1, 3, "mlp"])
def test_no_readout_sees_the_future(last):
    model = tiny_models.build("gpt2")
    parts = find_parts(model)
    carry = carry_through(parts, last)
    readouts = []
    for ids in (IDS, OTHER):
        stream, _ = stream_of(model, parts, ids)
        carried, _ = carry(stream, stream, [len(ids)])
        readouts.append(decode(parts, carried))
    same = next(t for t in range(len(IDS)) if IDS[t] != OTHER[t])
    torch.testing.assert_close(readouts[0][:, :same], readouts[1][:, :same])
    assert not torch.allclose(readouts[0][:, same:], readouts[1][:, same:], atol=1e-2)


def test_prompts_in_a_row_do_not_see_each_other_and_pieces_change_nothing():
    model = tiny_models.build("gpt2")
    parts = find_parts(model)
    streams = [stream_of(model, parts, ids)[0] for ids in (IDS, OTHER[:4])]
    lengths = [len(IDS), 4]
    whole, _ = carry_through(parts, 2)(torch.cat(streams, 1), torch.cat(streams, 1), lengths)
    apart = [carry_through(parts, 2, max_rows=8)(s, s, [s.shape[1]])[0] for s in streams]
    torch.testing.assert_close(whole, torch.cat(apart, 1), atol=1e-5, rtol=1e-5)


def test_where_the_decoder_begins():
    assert [first_depth(12, last) for last in (0, 2, 12, "mlp")] == [12, 10, 0, 11.5]
    for last in (-1, 13, "attn", 1.5):
        with pytest.raises(ValueError, match="0 to 12 blocks or 'mlp'"):
            first_depth(12, last)


def test_half_depths_lie_between_depths():
    assert np.array_equal(stream_depths(2), [0, 0.5, 1, 1.5, 2])
