import pytest
import torch

from strata.lens.reduction import LEAST, Reduction, padded_size

TOKENS, DEPTHS = 3, 4


def padded_logits(vocab: int) -> torch.Tensor:
    torch.manual_seed(vocab)
    logits = torch.full((TOKENS, DEPTHS, padded_size(vocab)), LEAST)
    logits[..., :vocab] = 5 * torch.randn(TOKENS, DEPTHS, vocab) - 100
    return logits


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("vocab", [100, 1500, 5000])
@pytest.mark.parametrize("n,room_for", [(3, 4), (8, 3), (19, 1)])
def test_sums_and_ranks_are_as_defined(vocab, n, room_for, compiled):
    """Of one block and of several, ranks that one pass counts and that several do, depths at a time."""
    padded = padded_logits(vocab)
    logits = padded[..., :vocab]
    own = logits[..., torch.randperm(vocab)[:n]]
    maximum = logits.amax(-1)
    found = Reduction(vocab, torch.empty(2, TOKENS, room_for, vocab), compiled)(padded, maximum, [3, 0], own)

    z = logits.double()
    shifted = z - z.amax(-1, keepdim=True)
    e = shifted.exp()
    probability = z[:, [3, 0]].softmax(-1)
    torch.testing.assert_close(found.total.double(), e.sum(-1), rtol=1e-6, atol=0)
    torch.testing.assert_close(found.weighted.double(), (e * shifted).sum(-1), rtol=1e-5, atol=0)
    cross = torch.einsum("trv,tdv->tdr", probability, shifted)
    torch.testing.assert_close(found.cross.double(), cross, rtol=1e-5, atol=0)
    assert torch.equal(found.above.long(), (logits[..., None, :] > own[..., None]).sum(-1))


def test_rows_are_whole_blocks():
    assert [padded_size(n) for n in (1, 64, 65, 1024, 1025, 49152, 50257)] == [
        *(64, 64, 128, 1024, 2048, 49152, 51200)
    ]
