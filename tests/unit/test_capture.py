import numpy as np
import pytest
import torch

from oracles import tiny_models
from strata.model.architecture import find_parts
from strata.model.batching import batches
from strata.model.capture import LAYOUT, by_token, capture, capture_documents, sizes

IDS = torch.tensor([[5, 17, 3, 60, 2], [9, 9, 41, 0, 96]])


def test_layout_names_every_axis():
    parts = find_parts(tiny_models.build("gpt2"))
    [arrays] = by_token(capture(parts, IDS[:1]))
    expected = sizes(parts, n_tokens=IDS.shape[1])
    for name, dims in LAYOUT.items():
        assert arrays[name].shape == tuple(expected[d] for d in dims), name


RNG = np.random.default_rng(1)
# Single tokens, lengths that occur once and twice, and more positions than a local window sees.
DOCUMENTS = [RNG.integers(0, tiny_models.VOCAB, n).tolist() for n in (7, 1, 12, 3, 7, 20, 2, 11)]


@pytest.mark.parametrize("name", tiny_models.NAMES)
def test_documents_together_are_what_they_are_one_by_one(name):
    parts = find_parts(tiny_models.build(name))
    together = dict(capture_documents(parts, DOCUMENTS, max_tokens=36))
    assert sorted(together) == list(range(len(DOCUMENTS)))
    for index, document in enumerate(DOCUMENTS):
        [alone] = by_token(capture(parts, torch.tensor([document])))
        assert set(together[index]) == set(alone) == set(LAYOUT)
        for what, values in alone.items():
            size = np.nanmax(np.abs(values), initial=0)
            np.testing.assert_allclose(
                together[index][what], values, rtol=1e-5, atol=1e-5 * size, err_msg=what
            )


def test_only_what_is_kept_is_made():
    parts = find_parts(tiny_models.build("gpt2"))
    whole = capture(parts, IDS)
    parts.unembedding.register_forward_hook(lambda *_: pytest.fail("logits were made"))
    taken = capture(parts, IDS, keep=["resid"])
    assert torch.equal(taken.resid, whole.resid)
    assert taken.attn_out is taken.mlp_out is taken.attention_last is taken.logprob_next is None
    ((_, arrays),) = capture_documents(parts, IDS[:1].tolist(), ["attn_out"])
    assert list(arrays) == ["attn_out"] and arrays["attn_out"].dtype == "float32"
    np.testing.assert_allclose(arrays["attn_out"], whole.attn_out[:, 0], rtol=1e-5, atol=1e-5)


def test_batches_hold_every_document_once_and_no_more_than_they_may():
    parts = find_parts(tiny_models.build("gpt2"))
    found = batches(DOCUMENTS, 21, parts)
    assert sorted(index for batch in found for index in batch.which) == list(range(len(DOCUMENTS)))
    assert len(found) < len(DOCUMENTS)
    for batch in found:
        assert batch.ids.numel() <= 21 and batch.ids.shape == (len(batch.which), max(batch.lengths))
        assert batch.present.sum(1).tolist() == batch.lengths
        for index, row, present in zip(batch.which, batch.ids, batch.present, strict=True):
            assert row[present].tolist() == DOCUMENTS[index] and (row[~present] == 0).all()
            assert present[: len(DOCUMENTS[index])].all()
    assert [batch.lengths for batch in batches([[1, 2, 3], [4]], 2, parts)] == [[1], [3]]
    assert batches([], 9, parts) == []


def test_documents_longer_than_the_model_are_refused_by_name():
    parts = find_parts(tiny_models.build("gpt2"))
    most = parts.model.config.max_position_embeddings
    # ALiBi has no last position.
    assert len(batches([[1] * 999], 9, find_parts(tiny_models.build("bloom")))) == 1
    fits, longer = [1] * most, [1] * (most + 1)
    batches([fits], 9, parts)
    said = f"^document 1 has {most + 1} tokens, more than the model's {most} positions .as 1 others"
    with pytest.raises(ValueError, match=said):
        batches([fits, longer, longer], 9, parts)
    with pytest.raises(ValueError, match="^prompt 'x' has"):
        list(capture_documents(parts, [longer], names=["prompt 'x'"]))


def test_nobody_watches_any_longer():
    parts = find_parts(tiny_models.build("gpt2"))
    with pytest.raises(IndexError):
        capture(parts, torch.full((1, 3), tiny_models.VOCAB))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in parts.model.modules())
