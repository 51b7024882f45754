"""Units drawn again with replacement: which ones, how often each, and intervals that need no more.

Light on purpose: intervals of any other statistic are `strata.stats.bootstrap`'s, which needs SciPy.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from strata.stats.defined import ratio
from strata.stats.thresholds import enough

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
    """Ends (low and high, ...) of the mean of ``values`` (..., unit), by `interval_of_totals`.

    Units of one cluster (unit), such as wordings of one fact, are drawn together.
    """
    n_units = values.shape[-1]
    _, which = np.unique(np.arange(n_units) if clusters is None else clusters, return_inverse=True)
    sizes = np.bincount(which)
    if not enough(len(sizes)):
        return np.full((2, *values.shape[:-1]), np.nan)
    in_order = values[..., which.argsort(kind="stable")]
    # Of the deviations from the mean, which lose no digits when they are squared.
    mean = values.mean(-1, keepdims=True)
    sums = np.add.reduceat(in_order - mean, np.cumsum(sizes) - sizes, axis=-1)
    return mean[..., 0] + interval_of_totals(sums, sizes, resamples, interval, rng)


def interval_of_totals(
    sums: np.ndarray, sizes: np.ndarray, resamples: int, interval: float, rng: np.random.Generator
) -> np.ndarray:
    """Ends (low and high, ...) of a mean over units by `studentised` resamples of clusters of them.

    NaN for fewer clusters that have a unit than are `enough`.

    Parameters
    ----------
    sums : array (..., cluster)
        Of the values of a cluster's units.
    sizes : array (cluster) or (..., cluster)
        Units in each, perhaps none.
    """
    shape, n_clusters = sums.shape[:-1], sums.shape[-1]
    mean = ratio(sums.sum(-1), sizes.sum(-1))
    rows = (sums - np.nan_to_num(mean)[..., None] * sizes).reshape(-1, n_clusters)
    sizes_of = sizes.reshape(-1, n_clusters)  # of one row where all have the same
    once = np.ones((1, n_clusters))
    times = np.empty((resamples, n_clusters), np.min_scalar_type(n_clusters))
    for some in tiles_of(resamples, n_clusters):
        times[some] = times_drawn(rng, n_clusters, len(times[some]))
    ends = np.empty((2, len(rows)))
    for some in tiles_of(len(rows), resamples):
        of_some = sizes_of if len(sizes_of) == 1 else sizes_of[some]
        _, error = mean_and_error(rows[some], of_some, once)
        of_tiles = [
            mean_and_error(rows[some], of_some, times[tile].astype(float)) for tile in tiles_of(*times.shape)
        ]
        drawn, errors = (np.concatenate(parts, axis=-1) for parts in zip(*of_tiles, strict=True))
        ends[:, some] = studentised(np.zeros(1), error[:, 0], drawn.T, errors.T, interval)
    ends = ends.reshape(2, *shape) + mean
    return np.where(enough((sizes > 0).sum(-1)), ends, np.nan)


def mean_and_error(sums: np.ndarray, sizes: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over units and its standard error where clusters of units are drawn: (..., resample) each.

    Parameters
    ----------
    sums : array (..., cluster)
        Of the units' values.
    sizes : array (..., cluster)
        Units in each.
    times : array (resample, cluster)
        How often each cluster is drawn.
    """
    n_clusters, n_units, total = (sizes > 0) @ times.T, sizes @ times.T, sums @ times.T
    alike = (sizes == sizes.flat[0]).all()
    crossed = sizes.flat[0] * total if alike else (sums * sizes) @ times.T
    mean = ratio(total, n_units)
    squares = (sums**2) @ times.T - 2 * mean * crossed + mean**2 * (sizes**2 @ times.T)
    return mean, error_of_mean(np.maximum(squares, 0), n_clusters, n_units)


def error_of_mean(squares: np.ndarray, n_clusters: np.ndarray, n_units: np.ndarray) -> np.ndarray:
    """Standard error of a mean over units of which whole clusters are drawn; NaN for a single cluster.

    That of a ratio of sums over clusters (Cochran 1977, section 6.3), which units of one cluster each
    make the usual one. ``squares``: summed over clusters, each the square of the sum of its deviations.
    """
    return np.sqrt(ratio(squares * n_clusters, n_clusters - 1)) / np.where(n_units > 0, n_units, np.nan)


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

    def totals(self, holds: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of how many items in each group something holds, (..., group), and how many there are, (group).

        ``holds`` (..., item); ``groups`` (item), each item's.
        """
        index, n = np.searchsorted(self.names, groups), len(self.names)
        rows = holds.reshape(-1, holds.shape[-1])
        hits = np.stack([np.bincount(index, row, n) for row in rows])
        return hits.reshape(*holds.shape[:-1], n), np.bincount(index, minlength=n)

    def shares(self, holds: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """In which share of the items drawn something holds: (resample, ...) of ``holds`` (..., item).

        NaN where no item is drawn.
        """
        hits, sizes = self.totals(holds, groups)
        return np.moveaxis(ratio(hits @ self.times.T, self.times @ sizes), -1, 0)


def tiles_of(n: int, values_each: int, values: int = TILE_VALUES) -> Iterator[slice]:
    """Of ``n`` rows, as many at a time as have ``values``, one at least."""
    start = 0
    for size in tile_sizes(n, values_each, values):
        yield slice(start, start := start + size)


def tile_sizes(n: int, values_each: int, values: int = TILE_VALUES) -> Iterator[int]:
    """How many rows each of `tiles_of` has."""
    tile = max(1, values // values_each)
    for start in range(0, n, tile):
        yield min(tile, n - start)
