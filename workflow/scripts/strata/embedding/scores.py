"""Scores of every row of one matrix with every row of another: tiles of rows meet tiles of columns.

Products are float32. The few best of each row are scored again in float64, so that the size of the tiles
changes nothing. Ties go to the row itself, then to the lowest row. Where both matrices are one, so that two
rows score with each other what they score the other way round, each two tiles meet once.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from strata.embedding.tiles import tiles
from strata.model.device import at_once
from strata.model.largest import largest
from strata.products import product
from strata.progress import Progress, silent

SPARE = 4
"""More candidates than asked for are scored again. Of more ties than these, which ones are kept is open."""

ON_GPU = 16
"""Times as many rows of a tile on a GPU: all columns are brought there for each tile of rows."""


def _as_it_is(tile: Tensor) -> Tensor:
    return tile


class Scores:
    """Scores of every row of one matrix with every row of another, never held all at once.

    Parameters
    ----------
    queries, keys : arrays (vocab, channel)
        Of any float type, in memory or on disk.
    of_query, of_key : functions of a tile of rows
        What each is before they are multiplied, row by row.
    bias : Tensor (vocab), optional
        Added to every row of scores.
    """

    def __init__(
        self,
        queries: np.ndarray,
        keys: np.ndarray,
        of_query: Callable[[Tensor], Tensor] = _as_it_is,
        of_key: Callable[[Tensor], Tensor] = _as_it_is,
        bias: Tensor | None = None,
    ):
        self._queries, self._keys, self._bias = queries, keys, bias
        self._of_query, self._of_key = of_query, of_key

    def __len__(self) -> int:
        return len(self._queries)

    @torch.no_grad()
    def best_others(
        self,
        k: int,
        *,
        rows: int = 1024,
        columns: int = 4096,
        device: str = "cpu",
        among: range | None = None,
        progress: Progress = silent,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each row the ``k`` best others, best first, and what the row scores with itself.

        Parameters
        ----------
        rows, columns : int
            Size of a tile; `ON_GPU` times the rows where ``device`` is one.
        among : range, optional
            Rows that are asked for; all.

        Returns
        -------
        others : int64 array (row, k)
        scores : float64 array (row, k)
        own : float64 array (row)

        Raises
        ------
        ValueError
            If there are not ``k`` others.
        """
        if len(self._keys) <= k:
            raise ValueError(f"{k} other tokens are asked for, of {len(self._keys)} in all")
        once = among is None and self._symmetric
        among = range(len(self)) if among is None else among
        rows = at_once(rows, device, ON_GPU)
        candidates = _Candidates(among, min(k + SPARE, len(self._keys)), device)
        parts = []
        for at in progress([*tiles(among.stop, rows, among.start)], "tiles of tokens"):
            query = self._of_query(_tensor(self._queries[at], device))
            for part in tiles(len(self._keys), columns, at.start if once else 0):
                scores = product(query, self._of_key(_tensor(self._keys[part], device)))
                if self._bias is not None:
                    scores += self._bias[part]
                if at.start < part.stop and part.start < at.stop:
                    scores.diagonal(at.start - part.start).fill_(-torch.inf)
                candidates.meet(at, scores, 1, part.start)
                later = slice(max(at.stop, part.start), part.stop)
                if once and later.start < later.stop:
                    candidates.meet(later, scores[:, later.start - part.start :], 0, at.start)
            parts.append(self._best(query, at, candidates.of(at), k, device))
        return tuple(torch.cat(part).numpy() for part in zip(*parts, strict=True))

    @property
    def _symmetric(self) -> bool:
        return self._queries is self._keys and self._of_query is self._of_key and self._bias is None

    def _best(
        self, query: Tensor, at: slice, others: Tensor, k: int, device: str
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.arange(at.start, at.stop, device=device)
        exact = torch.stack([self._exact(query, other, device) for other in others.T], 1)
        exact[others == rows[:, None]] = -torch.inf
        others, order = others.sort(1)
        exact, order = exact.gather(1, order).sort(dim=1, descending=True, stable=True)
        own = self._exact(query, rows, device)
        return others.gather(1, order)[:, :k].cpu(), exact[:, :k].cpu(), own.cpu()

    def _exact(self, query: Tensor, other: Tensor, device: str) -> Tensor:
        """Score (row) of each row with one other, products and sums in float64."""
        key = self._of_key(_tensor(self._keys[other.cpu().numpy()], device))
        score = torch.linalg.vecdot(query.double(), key.double())
        return score if self._bias is None else score + self._bias[other].double()


class _Candidates:
    """The ``n`` highest scores that each row has met, and with which rows; it meets them in their order.

    Itself, at minus infinity, where it has met fewer.
    """

    def __init__(self, rows: range, n: int, device: str):
        self._first = rows.start
        self._scores = torch.full((len(rows), n), -torch.inf, device=device)
        itself = torch.arange(rows.start, rows.stop, device=device)
        self._others = itself[:, None].repeat(1, n)

    def of(self, rows: slice) -> Tensor:
        """Ids (row, n)."""
        return self._others[self._at(rows)]

    def meet(self, rows: slice, scores: Tensor, axis: int, first: int) -> None:
        """Scores of rows with others, which lie along ``axis``, from ``first`` on."""
        kept, others = self._scores[self._at(rows)], self._others[self._at(rows)]
        # The more a row has met, the fewer tiles have anything better: the highest is looked at alone.
        better = (scores.amax(axis) > kept[:, -1]).nonzero().squeeze(1)
        found = scores.index_select(1 - axis, better)
        found = found if axis else found.T.contiguous()
        value, column = largest(found, min(kept.shape[1], found.shape[1]))
        value = torch.cat([kept[better], value], 1)
        column = torch.cat([others[better], column + first], 1)
        value, order = value.topk(kept.shape[1])
        kept[better], others[better] = value, column.gather(1, order)

    def _at(self, rows: slice) -> slice:
        return slice(rows.start - self._first, rows.stop - self._first)


def _tensor(tile: np.ndarray, device: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(tile)).to(device, torch.float32)
