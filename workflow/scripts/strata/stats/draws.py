"""Units drawn again with replacement: which ones, how often each, and intervals that need no more.

Light on purpose: intervals of any other statistic are `strata.stats.bootstrap`'s, which needs SciPy.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from strata.stats.defined import percentiles, ratio


def check_resampling(resamples: int, interval: float) -> None:
    """Refuse what no bootstrap can be asked for.

    Raises
    ------
    ValueError
        If ``resamples`` is below 1, or ``interval`` no coverage.
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, not {resamples}")
    if not 0 < interval < 1:
        raise ValueError(f"interval is a coverage in (0, 1), not {interval}")


def units_drawn(rng: np.random.Generator, n: int, *size: int) -> np.ndarray:
    """Which of ``n`` units are drawn, as many as there are: (\\*size, n)."""
    return rng.integers(n, size=(*size, n))


def times_drawn(rng: np.random.Generator, n: int, *size: int) -> np.ndarray:
    """How often each of ``n`` units is drawn, as many as there are in all: (\\*size, n)."""
    return rng.multinomial(n, np.full(n, 1 / n), size=size)


def interval_of_mean(
    values: np.ndarray, resamples: int, interval: float, rng: np.random.Generator
) -> np.ndarray:
    """Ends (low and high, ...) of the mean of ``values`` (..., unit); NaN for fewer than two units."""
    n = values.shape[-1]
    if n < 2:
        return np.full((2, *values.shape[:-1]), np.nan)
    return percentiles(values @ times_drawn(rng, n, resamples).T / n, interval)


@dataclass(frozen=True)
class DrawnGroups:
    """Groups of items, such as documents of tokens, drawn as wholes: ``times`` (resample, group)."""

    names: np.ndarray
    times: np.ndarray

    @classmethod
    def of(cls, groups: Iterable[np.ndarray], resamples: int, rng: np.random.Generator) -> "DrawnGroups":
        """Draw from all groups that occur in any of some arrays (item)."""
        names = np.unique(np.concatenate(list(groups)))
        return cls(names, times_drawn(rng, len(names), resamples))

    def shares(self, holds: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """In which share of the items drawn something holds: (resample, ...) of ``holds`` (..., item).

        ``groups`` (item) is each item's. NaN where no item is drawn, or there is one group only.
        """
        if len(self.names) < 2:
            return np.full((len(self.times), *holds.shape[:-1]), np.nan)
        index = np.searchsorted(self.names, groups)
        rows = holds.reshape(-1, holds.shape[-1])
        hits = np.stack([np.bincount(index, row, len(self.names)) for row in rows])
        sizes = np.bincount(index, minlength=len(self.names))
        shares = ratio(self.times @ hits.T, (self.times @ sizes)[:, None])
        return shares.reshape(-1, *holds.shape[:-1])
