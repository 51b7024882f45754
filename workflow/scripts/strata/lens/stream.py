"""The residual stream at its depths, and at its half-depths: what the decoders are given to decode.

Depth d is the state entering block d; half-depth d + ½ the state after that block's attention and
before its MLP. In a block whose MLP runs parallel to its attention no such state is computed; the sum is
what the stream would hold had only the attention been added.

The logit lens reads both. The other decoders read whole depths: their maps are defined between blocks, and
half-depths would double what they cost.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor


def stream_depths(n_layers: int, half_depths: bool = True) -> np.ndarray:
    """Depths and half-depths of a model: 0, ½, 1, ..., L; or 0, 1, ..., L."""
    return np.arange(2 * n_layers + 1) / 2 if half_depths else np.arange(n_layers + 1.0)


def with_half_depths(resid: Tensor, attn_out: Tensor) -> Tensor:
    """The stream at every depth and half-depth.

    Parameters
    ----------
    resid : (depth, token, channel)
    attn_out : (layer, token, channel)

    Returns
    -------
    Tensor (2 layer + 1, token, channel), in the order of `stream_depths`
    """
    stream = resid.new_empty(2 * len(resid) - 1, *resid.shape[1:])
    stream[::2] = resid
    torch.add(resid[:-1], attn_out, out=stream[1::2])
    return stream


def pieces(prompts: np.ndarray, max_tokens: int) -> list[list[slice]]:
    """Cut the tokens of prompts in a row into pieces of whole prompts.

    Parameters
    ----------
    prompts : (token), the prompt that each token belongs to
    max_tokens : of a piece, unless one prompt alone has more

    Returns
    -------
    Of each piece its prompts, the tokens of each
    """
    starts = np.flatnonzero(np.append(True, prompts[1:] != prompts[:-1])).tolist()
    found: list[list[slice]] = [[]]
    for start, stop in pairwise([*starts, len(prompts)]):
        if found[-1] and stop - found[-1][0].start > max_tokens:
            found.append([])
        found[-1].append(slice(start, stop))
    return found
