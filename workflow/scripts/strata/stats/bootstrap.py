"""Intervals of any statistic by drawing units again, units being prompts, mostly."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from scipy import stats

from strata.names import CATEGORY, DEPTH
from strata.stats.defined import percentiles, ratio
from strata.stats.draws import (
    TILE_VALUES,
    check_resampling,
    interval_of_mean,
    interval_of_totals,
    tile_sizes,
    tiles_of,
    times_drawn,
    units_drawn,
)
from strata.stats.groups import each, with_ends
from strata.stats.seeding import generator
from strata.stats.spearman import spearman, spearman_of_times
from strata.stats.thresholds import enough

CHOSEN = 1_000_000
"""Units of resamples that are ranked, or whose clusters are put together, at once (8 MB)."""


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made: from a statistic over ``resamples`` draws of the units with replacement.

    ``interval`` is the coverage, e.g. 0.95. The draws depend on ``seed``, ``names`` (see `of`) and the
    number of units alone: decoders share them, and other categories' prompts change nothing. ``batch``
    is how many resamples are held at once, as many as 32 MB hold by default; independent samples take
    turns to be drawn, a batch each, so that the draws of several depend on it too.

    Raises
    ------
    ValueError
        If ``resamples`` or ``interval`` is impossible.
    """

    resamples: int
    interval: float
    seed: int
    batch: int | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_resampling(self.resamples, self.interval)

    def of(self, *names: str) -> "Bootstrap":
        """The same with draws of its own, for a test of these names."""
        return replace(self, names=names)

    def ends(
        self,
        statistic: Callable,
        *samples: np.ndarray,
        paired: bool = False,
        lost: float = 0,
        clusters: np.ndarray | None = None,
        bounded: bool = False,
    ) -> np.ndarray:
        """The interval's ends (low and high, ...) of a statistic.

        NaN for fewer units of a sample, or clusters, than are `enough`. Of a mean, `np.mean`, they are
        `strata.stats.draws.interval_of_mean`'s, of any other statistic `widened` percentiles. Resamples of
        `spearman`, of two paired samples, are those of `spearman_of_times`.

        Parameters
        ----------
        statistic : function of the samples and ``axis``, that of the units
        samples : arrays (..., unit)
            Drawn independently, unless they are ``paired``: values of the same units.
        lost : float
            Share of resamples in which the statistic may be undefined. They are left out; with more
            there is no interval (NaN).
        clusters : array (unit), optional
            Of one sample, or of paired ones: units of one cluster are drawn together.
        bounded : bool
            Whether the statistic is a correlation, whose percentiles need no widening.
        """
        rng = generator(self.seed, *self.names)
        if statistic is np.mean:
            return interval_of_mean(samples[0], self.resamples, self.interval, rng, clusters)
        n = min(sample.shape[-1] for sample in samples) if clusters is None else len(np.unique(clusters))
        if not enough(n):
            return np.full((2, *np.shape(statistic(*samples, axis=-1))), np.nan)
        if statistic is spearman:
            which = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
            drawn = [
                spearman_of_times(*samples, times_drawn(rng, n, size)[:, which])
                for size in tile_sizes(self.resamples, len(which), CHOSEN)
            ]
            drawn = np.concatenate(drawn, axis=-1)
        elif clusters is not None and n < len(clusters):
            drawn = self._of_clusters(statistic, samples, clusters, rng)
        else:
            drawn = self._of_units(statistic, samples, paired, rng)
        if bounded:
            return percentiles(drawn, self.interval, lost=lost)
        return widened(drawn, n, self.interval, lost=lost)

    def _of_units(
        self, statistic: Callable, samples: tuple[np.ndarray, ...], paired: bool, rng: np.random.Generator
    ) -> np.ndarray:
        """The statistic of every resample, (..., resample)."""
        with warnings.catch_warnings():
            # A statistic that is undefined in a resample: `lost` says what comes of it.
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            return stats.bootstrap(
                samples,
                statistic,
                n_resamples=self.resamples,
                batch=self.batch or max(1, TILE_VALUES // sum(sample.size for sample in samples)),
                vectorized=True,
                paired=paired,
                axis=-1,
                method="percentile",
                rng=rng,
            ).bootstrap_distribution

    def _of_clusters(
        self,
        statistic: Callable,
        samples: tuple[np.ndarray, ...],
        clusters: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """The same where clusters are drawn; resamples of as many units are taken together."""
        names, which = np.unique(clusters, return_inverse=True)
        sizes = np.bincount(which)
        units = np.split(which.argsort(kind="stable"), np.cumsum(sizes)[:-1])
        drawn, n_values = [], sum(sample.size for sample in samples)
        for size in tile_sizes(self.resamples, len(which), CHOSEN):
            chosen = units_drawn(rng, len(names), size)
            n_units = sizes[chosen].sum(1)
            for n in np.unique(n_units):
                at = np.array([np.concatenate([units[c] for c in row]) for row in chosen[n_units == n]])
                for some in tiles_of(len(at), n_values):
                    drawn.append(statistic(*(sample[..., at[some]] for sample in samples), axis=-1))
        return np.concatenate(drawn, axis=-1)

    def estimate(
        self,
        name: str,
        statistic: Callable,
        *samples: np.ndarray,
        dims: tuple[str, ...] = (),
        paired: bool = False,
        lost: float = 0,
        clusters: np.ndarray | None = None,
        bounded: bool = False,
    ) -> xr.Dataset:
        """A statistic with its interval: ``name``, ``name_low``, ``name_high`` (dims) and ``name_n``.

        Parameters
        ----------
        statistic : function of the samples and ``axis``, that of the units
        samples : arrays (..., unit)
            A unit with a NaN, in any of paired samples, is left out. Several samples are drawn
            independently unless they are ``paired``; ``name_n`` is the smallest one's.
        dims : of what the statistic returns
        paired, lost, clusters, bounded : see `ends`
        """
        there = [~np.isnan(s).any(axis=tuple(range(s.ndim - 1))) for s in samples]
        if paired:
            there = [np.logical_and.reduce(there)] * len(samples)
        samples = [s[..., some] for s, some in zip(samples, there, strict=True)]
        clusters = None if clusters is None else np.asarray(clusters)[there[0]]
        more = {"paired": paired, "lost": lost, "clusters": clusters, "bounded": bounded}
        return self._estimate(name, statistic, samples, dims, **more)

    def of_totals(
        self, name: str, sums: np.ndarray, sizes: np.ndarray, dims: tuple[str, ...] = ()
    ) -> xr.Dataset:
        """Mean over units of which whole clusters are drawn, as `estimate` gives it; ``name_n`` clusters.

        ``sums`` and ``sizes`` are those of `strata.stats.draws.interval_of_totals`.
        """
        rng = generator(self.seed, *self.names)
        ends = interval_of_totals(sums, sizes, self.resamples, self.interval, rng)
        return with_ends(name, ratio(sums.sum(-1), sizes.sum(-1)), ends, sums.shape[-1], dims)

    def by_depth(
        self,
        name: str,
        statistic: Callable,
        values: np.ndarray,
        *others: np.ndarray,
        clusters: np.ndarray | None = None,
        bounded: bool = False,
    ) -> xr.Dataset:
        """`estimate` of ``values`` (depth 0 to L, unit) at each depth and of their mean over 1 to L.

        ``others`` (unit) belong to the same units and are drawn with them.
        """
        how = {"paired": True, "clusters": clusters, "bounded": bounded}
        by_depth = self._estimate(name, statistic, [values, *others], (DEPTH,), **how)
        mean = values[1:].mean(0)
        return by_depth.merge(self._estimate(f"{name}_overall", statistic, [mean, *others], (), **how))

    def by_category(
        self,
        name: str,
        statistic: Callable,
        values: np.ndarray,
        groups: Mapping[str, np.ndarray],
        dims: tuple[str, ...] = (),
        clusters: np.ndarray | None = None,
    ) -> xr.Dataset:
        """`estimate` of ``values`` (..., unit) in each of the groups, masks (unit)."""

        def of(group: str) -> xr.Dataset:
            chosen = groups[group]
            kin = None if clusters is None else np.asarray(clusters)[chosen]
            return self.estimate(name, statistic, values[..., chosen], dims=dims, clusters=kin)

        return each(CATEGORY, groups, of)

    def _estimate(
        self,
        name: str,
        statistic: Callable,
        samples: list[np.ndarray],
        dims: tuple[str, ...],
        **how: object,
    ) -> xr.Dataset:
        n = min(sample.shape[-1] for sample in samples)
        value = np.full(samples[0].shape[: len(dims)], np.nan)
        ends = np.stack([value, value])
        if n:
            value = statistic(*samples, axis=-1)
            ends = self.ends(statistic, *samples, **how)
        return with_ends(name, value, ends, n, dims)


def widened(drawn: np.ndarray, n: int, interval: float, axis: int = -1, lost: float = 1) -> np.ndarray:
    """Ends (low and high, ...) of a statistic's resamples: percentiles, widened for few units.

    They lie further out as Student's t of ``n`` - 1 degrees of freedom lies beyond the normal, and as the
    spread of resamples falls short by sqrt(1 - 1/n) (Hesterberg 2015, "expanded percentile"). NaN for
    fewer units than are `enough`, and where more than the share ``lost`` of resamples is undefined.
    """
    if not enough(n):
        return np.full((2, *np.delete(drawn.shape, axis)), np.nan)
    t = stats.t.ppf((1 + interval) / 2, n - 1)
    return percentiles(drawn, float(1 - 2 * stats.norm.sf(np.sqrt(n / (n - 1)) * t)), axis, lost)
