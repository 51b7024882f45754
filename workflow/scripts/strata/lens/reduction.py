"""Logits reduced over the vocabulary: the sums that all readouts of the lens are made of, and ranks.

Compiled, one pass over the logits makes all sums and some of the ranks, and every few ranks more take
another; torch's own operations need several passes for the sums and two for each rank.
"""

import shutil
import sysconfig
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from strata.exponentials import LOG2_E
from strata.model.largest import BLOCK

SUMMED = 1024
"""Entries that compiled loops add one after another. Of more than 4,096 torch keeps sums of sums, for
precision, at several times the cost; blocks are as precise."""

TOGETHER = 8
"""Logits that compiled loops rank in one pass."""

LEAST = torch.finfo(torch.float32).min
"""What rows of logits are padded with: a power of e that is 0, and finite, since 0 times infinity is NaN."""


class Sums(NamedTuple):
    """Of logits z (token, depth, vocab), z' = z − their maximum."""

    total: Tensor
    """Σ exp(z') (token, depth)"""
    weighted: Tensor
    """Σ exp(z') z' (token, depth)"""
    cross: Tensor
    """Σ p z' (token, depth, reference), p the distribution at each depth of reference"""
    above: Tensor
    """How many z are above each of the logits to rank (token, depth, n), as a float"""


def padded_size(vocab: int) -> int:
    """So many entries that rows are made of whole blocks, for compiled loops and for `largest`."""
    block = SUMMED if vocab > SUMMED else BLOCK
    return -(-vocab // block) * block


def can_compile() -> bool:
    """Whether torch.compile finds what it needs: a C++ compiler and Python's headers."""
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    return shutil.which("g++") is not None and header.exists()


class Reduction:
    """Reduces the logits of some tokens at a time.

    Parameters
    ----------
    vocab : int
        Entries of a row that are logits.
    room : Tensor (2, token, depth, vocab)
        Is written over: memory that is new costs more than what is computed in it. As many depths as there
        is room for are reduced at a time, so that a cache holds them.
    compiled : bool
        Of as many tokens as there is room for; fewer are not worth compiling for.
    """

    def __init__(self, vocab: int, room: Tensor, compiled: bool):
        self.vocab, self.room = vocab, room
        self._loops = tuple(torch.compile(f, dynamic=False) for f in (_sums, _count)) if compiled else None

    def __call__(self, padded: Tensor, maximum: Tensor, references: list[int], own: Tensor) -> Sums:
        """Reduce logits (token, depth, vocab and padding), whose ``maximum`` (token, depth) is known.

        ``references`` are depths, ``own`` (token, depth, n) logits to rank.
        """
        loops = self._loops if len(padded) == self.room.shape[1] else None
        z = padded if loops else padded[..., : self.vocab]
        probability = z[:, references].softmax(-1)
        n_depths, at_once = z.shape[1], self.room.shape[2]
        found = []
        for start in range(0, n_depths, at_once):
            # The last ones overlap the others rather than being fewer: loops are compiled for one size.
            first = max(0, min(start, n_depths - at_once))
            some = slice(first, first + at_once)
            what = z[:, some], maximum[:, some], probability, own[:, some]
            made = self._compiled(*loops, *what) if loops else self._eagerly(*what)
            found.append([each[:, start - first :] for each in made])
        return Sums(*(torch.cat(parts, 1) for parts in zip(*found, strict=True)))

    def _compiled(
        self, sums: Callable, count: Callable, z: Tensor, maximum: Tensor, probability: Tensor, own: Tensor
    ) -> Sums:
        n = own.shape[-1]
        own = pad(own, (0, -n % TOGETHER), value=torch.inf)
        first, *others = own.unflatten(-1, (-1, TOGETHER)).movedim(-2, 0).contiguous()
        *found, above = sums(z, maximum.contiguous(), probability, first)
        above = torch.cat([above, *(count(z, some) for some in others)], -1)
        return Sums(*found, above[..., :n])

    def _eagerly(self, z: Tensor, maximum: Tensor, probability: Tensor, own: Tensor) -> Sums:
        one, other = self.room[:, : len(z), : z.shape[1]]
        shifted = torch.sub(z, maximum[..., None], out=one)
        e = torch.mul(shifted, LOG2_E, out=other).exp2_()
        cross = (probability @ shifted.mT).mT  # several times faster than the other way round
        total = e.sum(-1)
        weighted = torch.mul(e, shifted, out=other).sum(-1)
        return Sums(total, weighted, cross, count_above(z, own, one))


def count_above(z: Tensor, own: Tensor, room: Tensor | None = None) -> Tensor:
    """How many of ``z`` (token, depth, vocab) are above each of ``own`` (token, depth, n).

    ``room``, as large as ``z``, is written over.
    """
    # Counted in floating point (exact to 2**24), which is four times faster than in booleans; on a GPU too.
    larger = partial(torch.gt, z, out=torch.empty_like(z) if room is None else room)
    return torch.stack([larger(own[..., i, None]).sum(-1) for i in range(own.shape[-1])], -1)


def _sums(z: Tensor, maximum: Tensor, probability: Tensor, own: Tensor) -> tuple[Tensor, ...]:
    """For compiled loops, `Sums` of ``z`` (token, depth, whole blocks); ``own`` is (token, depth, n)."""
    shifted = _blocks(z) - maximum[..., None, None]
    e = (shifted * LOG2_E).exp2()
    of_references = _blocks(probability)[:, None].unbind(2)
    cross = torch.stack([_over_blocks(p * shifted) for p in of_references], -1)
    return _over_blocks(e), _over_blocks(e * shifted), cross, _count(z, own)


def _count(z: Tensor, own: Tensor) -> Tensor:
    """For compiled loops, `count_above`."""
    blocks = _blocks(z)
    return torch.stack([_over_blocks((blocks > each).float()) for each in own[..., None, None].unbind(2)], -1)


def _blocks(rows: Tensor) -> Tensor:
    return rows.unflatten(-1, (-1, min(SUMMED, rows.shape[-1])))


def _over_blocks(values: Tensor) -> Tensor:
    return values.sum(-1).sum(-1)
