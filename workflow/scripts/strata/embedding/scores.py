"""Scores of every row of one matrix with every row of another: tiles of rows meet tiles of columns.

Products are float32. The few best of each row are scored again in float64, so that the size of the tiles
changes nothing. Ties go to the row itself, then to the lowest row.
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
        columns: int = 8192,
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
        among = range(len(self)) if among is None else among
        rows = at_once(rows, device, ON_GPU)
        every = progress([*tiles(among.stop, rows, among.start)], "tiles of tokens")
        parts = [self._of_tile(k, at, columns, device) for at in every]
        return tuple(torch.cat(part).numpy() for part in zip(*parts, strict=True))

    def _of_tile(self, k: int, at: slice, columns: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
        query = self._of_query(_tensor(self._queries[at], device))
        rows = torch.arange(at.start, at.stop, device=device)
        best = torch.empty(len(rows), 0, device=device)
        others = torch.empty(len(rows), 0, dtype=torch.long, device=device)
        for part in tiles(len(self._keys), columns):
            scores = product(query, self._of_key(_tensor(self._keys[part], device)))
            if self._bias is not None:
                scores += self._bias[part]
            itself = (rows >= part.start) & (rows < part.stop)
            scores[itself, rows[itself] - part.start] = -torch.inf
            top, column = largest(scores, min(k + SPARE, scores.shape[1]))
            best, others = torch.cat([best, top], 1), torch.cat([others, column + part.start], 1)
            best, kept = best.topk(min(k + SPARE, best.shape[1]))
            others = others.gather(1, kept)
        # Where there are few tokens the row itself is among the candidates, at minus infinity.
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


def _tensor(tile: np.ndarray, device: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(tile)).to(device, torch.float32)
