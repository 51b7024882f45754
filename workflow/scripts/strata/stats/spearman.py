"""Spearman's rank correlation, and that of resamples without sorting each."""

import warnings

import numpy as np
from scipy import stats

from strata.stats.defined import ratio
from strata.stats.draws import TILE_VALUES


def spearman(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    """Spearman's rank correlation (...) of paired values; NaN, with no warning, where a side is constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return stats.spearmanrho(x, y, axis=axis).statistic


def spearman_of_times(x: np.ndarray, y: np.ndarray, times: np.ndarray) -> np.ndarray:
    """`spearman` of the units as often as each is drawn: (..., resample).

    Values are sorted once: in a resample the rank of a value is how many drawn ones are smaller, and half of
    those that equal it.

    Parameters
    ----------
    x, y : arrays (..., unit)
        The same shape, or one of them without the leading dimensions.
    times : array (resample, unit)
    """
    shape = np.broadcast_shapes(x.shape, y.shape)[:-1]
    sides = [side.reshape(-1, times.shape[1]) for side in (x, y)]
    found = np.empty((max(map(len, sides)), len(times)))
    tile = max(1, TILE_VALUES // times.shape[1])
    for start in range(0, len(times), tile):
        drawn = np.ascontiguousarray(times[start : start + tile].T, dtype=float)
        alone = [_centred_ranks(side[0], drawn) if len(side) == 1 else None for side in sides]
        for row in range(len(found)):
            (a, of_a), (b, of_b) = (
                _centred_ranks(side[row], drawn) if one is None else one
                for side, one in zip(sides, alone, strict=True)
            )
            found[row, start : start + tile] = ratio(
                np.einsum("ur,ur,ur->r", drawn, a, b), np.sqrt(of_a * of_b)
            )
    return found.reshape(*shape, len(times))


def _centred_ranks(values: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks (unit, resample) less their mean, and the sum of their squares over what is drawn (resample)."""
    _, tied = np.unique(values, return_inverse=True)
    order, sizes = tied.argsort(kind="stable"), np.bincount(tied)
    of_ties = np.add.reduceat(drawn[order], np.cumsum(sizes) - sizes, axis=0)
    upto = of_ties.cumsum(axis=0)
    ranks = upto - of_ties / 2 - upto[-1] / 2
    return ranks[tied], np.einsum("tr,tr,tr->r", of_ties, ranks, ranks)
