"""Exponentials of logits, by powers of two.

On a CPU torch takes powers of e from MKL. On AMD's processors they cost more than twice as much as powers of
two, and thirty times as much where the result is below the least normal float32, as it is for most of a
vocabulary where a readout is sure (docs/benchmarks.md). An exponent is rounded once more, by 6e-8 of itself;
as logits are relative to the largest, that counts for little where much is rounded.
"""

import math

from torch import Tensor

LOG2_E = math.log2(math.e)


def exp_relative_(logits: Tensor, top: Tensor) -> Tensor:
    """e to the power of ``logits`` less ``top``, which is not below them; logits are written over."""
    return logits.sub_(top).mul_(LOG2_E).exp2_()


def logsumexp_(logits: Tensor) -> Tensor:
    """As `torch.logsumexp` over the last dimension, of which something is finite; logits are written over."""
    top = logits.amax(-1, keepdim=True)
    return exp_relative_(logits, top).sum(-1).log_().add_(top[..., 0])
