"""Units drawn again with replacement: which ones, how often each, and intervals that need no more.

Light on purpose: intervals of any other statistic are `strata.stats.bootstrap`'s, which needs SciPy.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from strata.stats.defined import ratio
from strata.stats.thresholds import LEAST_UNITS

TILE_VALUES = 4_000_000  # float64 values of a tile of resamples: 32 MB
FURTHEST = 2.2  # times the normal's quantile that an end may lie from a mean, in standard errors
ROUNDING = 1e-12  # of sums in another order, as a share of what is summed


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
    values: np.ndarray,
    resamples: int,
    interval: float,
    rng: np.random.Generator,
    clusters: np.ndarray | None = None,
) -> np.ndarray:
    """Ends (low and high, ...) of the mean of ``values`` (..., unit), by `studentised` resamples.

    Units of one cluster (unit), such as wordings of one fact, are drawn together. NaN for fewer than
    `LEAST_UNITS` units, or clusters of them.
    """
    n_units = values.shape[-1]
    _, which = np.unique(np.arange(n_units) if clusters is None else clusters, return_inverse=True)
    sizes = np.bincount(which)
    shape = values.shape[:-1]
    if len(sizes) < LEAST_UNITS:
        return np.full((2, *shape), np.nan)
    rows = values.reshape(-1, n_units)
    mean = rows.mean(-1, keepdims=True)
    # Of the deviations from the mean, which lose no digits when they are squared.
    sums = np.add.reduceat((rows - mean)[:, which.argsort(kind="stable")], np.cumsum(sizes) - sizes, axis=-1)
    times = times_drawn(rng, len(sizes), resamples)
    ends = np.empty((2, len(rows)))
    for start in range(0, len(rows), tile := max(1, TILE_VALUES // resamples)):
        some = slice(start, start + tile)
        _, error = mean_and_error(sums[some], sizes, np.ones((1, len(sizes))))
        drawn, errors = mean_and_error(sums[some], sizes, times)
        ends[:, some] = studentised(np.zeros(1), error[:, 0], drawn.T, errors.T, interval)
    return (ends + mean[:, 0]).reshape(2, *shape)


def mean_and_error(sums: np.ndarray, sizes: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over units and its standard error where clusters of units are drawn: (..., resample) each.

    The error is that of a ratio of sums over clusters (Cochran 1977, section 6.3), which units of one
    cluster each make the usual one.

    Parameters
    ----------
    sums : array (..., cluster)
        Of the units' values.
    sizes : array (cluster)
        Units in each.
    times : array (resample, cluster)
        How often each cluster is drawn.
    """
    n, count = times.sum(-1), times @ sizes
    mean = sums @ times.T / count
    squares = (sums**2) @ times.T - 2 * mean * ((sums * sizes) @ times.T) + mean**2 * (times @ sizes**2)
    return mean, np.sqrt(np.maximum(squares, 0) * n / (n - 1)) / count


def studentised(
    mean: np.ndarray, error: np.ndarray, drawn: np.ndarray, errors: np.ndarray, interval: float
) -> np.ndarray:
    """Ends (low and high, ...) of means by the bootstrap-t (Efron and Tibshirani 1993, section 12.5).

    How far resamples' means lie from the mean, in standard errors of their own, takes the place of
    Student's t: unlike percentiles, it holds for few units and for skewed values. Where a few values
    decide, resamples that miss them lie any number of errors away: ends lie `FURTHEST` at most.

    Parameters
    ----------
    mean, error : arrays (...)
        What was found, and its standard error. Where nothing varies the ends are the mean.
    drawn, errors : arrays (resample, ...)
        The same of each resample; NaN where it is undefined there.
    interval : float
        Coverage, e.g. 0.95.
    """
    apart = drawn - mean
    apart = np.where(np.abs(apart) <= ROUNDING * np.maximum(np.abs(mean), error), 0, apart)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.sort(np.where(apart == 0, 0 * errors, apart / errors), axis=0)  # what is undefined is last
        defined = (~np.isnan(t)).sum(0)
        tail = (1 - interval) / 2
        # Order statistics: t is infinite where a resample drew one cluster alone.
        at = np.stack([np.floor(tail * defined), np.ceil((1 - tail) * defined) - 1]).astype(int)
        furthest = FURTHEST * NormalDist().inv_cdf(1 - tail)
        low, high = np.clip(np.take_along_axis(t, np.clip(at, 0, len(t) - 1), axis=0), -furthest, furthest)
        return np.where(error > 0, mean - error * np.stack([high, low]), mean + 0 * error)


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

        ``groups`` (item) is each item's. NaN where no item is drawn, or there are fewer groups than
        `LEAST_UNITS`.
        """
        if len(self.names) < LEAST_UNITS:
            return np.full((len(self.times), *holds.shape[:-1]), np.nan)
        index = np.searchsorted(self.names, groups)
        rows = holds.reshape(-1, holds.shape[-1])
        hits = np.stack([np.bincount(index, row, len(self.names)) for row in rows])
        sizes = np.bincount(index, minlength=len(self.names))
        shares = ratio(self.times @ hits.T, (self.times @ sizes)[:, None])
        return shares.reshape(-1, *holds.shape[:-1])
