"""The largest entries of long rows, found without sorting them."""

import torch
from torch import Tensor

BLOCK = 64
"""Entries of which the largest alone is looked at first."""


def largest(rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest (values, ids) along the last axis, of equal ones the smaller id first.

    They lie in the k blocks with the largest maxima: of rows of many whole blocks, only those are searched.
    """
    n = rows.shape[-1]
    if n % BLOCK or n <= BLOCK * k:
        value, ids = rows.topk(k)
    else:
        blocks = rows.unflatten(-1, (-1, BLOCK)).amax(-1)
        chosen = blocks.topk(k, sorted=False).indices
        ids = (chosen[..., None] * BLOCK + torch.arange(BLOCK, device=rows.device)).flatten(-2)
        value, at = rows.gather(-1, ids).topk(k)
        ids = ids.gather(-1, at)
    ids, order = ids.sort(-1)
    value, at = value.gather(-1, order).sort(dim=-1, descending=True, stable=True)
    return value, ids.gather(-1, at)
