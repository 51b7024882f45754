"""Intervals of any statistic by drawing units again, units being prompts, mostly."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from scipy import stats

from strata.names import CATEGORY, DEPTH
from strata.stats.draws import check_resampling
from strata.stats.groups import each
from strata.stats.seeding import generator

TILE_VALUES = 4_000_000  # float64 values of a tile of resamples: 32 MB


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made: percentiles of a statistic over ``resamples`` draws with replacement.

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
        self, statistic: Callable, *samples: np.ndarray, paired: bool = False, lost: float = 0
    ) -> np.ndarray:
        """The interval's ends (low and high, ...) of a statistic, from two units or more.

        Parameters
        ----------
        statistic : function of the samples and ``axis``, that of the units
        samples : arrays (..., unit)
            Drawn independently, unless they are ``paired``: values of the same units.
        lost : float
            Share of resamples in which the statistic may be undefined. They are left out; with more
            there is no interval (NaN).
        """
        with warnings.catch_warnings():
            # A statistic that is undefined in a resample: `lost` says what comes of it.
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            drawn = stats.bootstrap(
                samples,
                statistic,
                n_resamples=self.resamples,
                batch=self.batch or max(1, TILE_VALUES // sum(sample.size for sample in samples)),
                vectorized=True,
                paired=paired,
                axis=-1,
                method="percentile",
                rng=generator(self.seed, *self.names),
            ).bootstrap_distribution
        tail = (1 - self.interval) / 2
        ends = stats.quantile(drawn, np.array([tail, 1 - tail]), axis=-1, nan_policy="omit")
        enough = np.isnan(drawn).mean(-1, keepdims=True) <= lost
        return np.moveaxis(np.where(enough, ends, np.nan), -1, 0)

    def estimate(
        self,
        name: str,
        statistic: Callable,
        *samples: np.ndarray,
        dims: tuple[str, ...] = (),
        lost: float = 0,
    ) -> xr.Dataset:
        """A statistic with its interval: ``name``, ``name_low``, ``name_high`` (dims) and ``name_n``.

        Parameters
        ----------
        statistic : function of the samples and ``axis``, that of the units
        samples : arrays (..., unit)
            A unit with a NaN is left out. Several samples are drawn independently; ``name_n`` is the
            smallest one's.
        dims : of what the statistic returns
        lost : see `ends`
        """
        samples = [s[..., ~np.isnan(s).any(axis=tuple(range(s.ndim - 1)))] for s in samples]
        return self._estimate(name, statistic, samples, dims, paired=False, lost=lost)

    def by_depth(self, name: str, statistic: Callable, values: np.ndarray, *others: np.ndarray) -> xr.Dataset:
        """`estimate` of ``values`` (depth 0 to L, unit) at each depth and of their mean over 1 to L.

        ``others`` (unit) belong to the same units and are drawn with them.
        """
        by_depth = self._estimate(name, statistic, [values, *others], (DEPTH,), paired=True)
        mean = values[1:].mean(0)
        return by_depth.merge(self._estimate(f"{name}_overall", statistic, [mean, *others], (), paired=True))

    def by_category(
        self,
        name: str,
        statistic: Callable,
        values: np.ndarray,
        groups: Mapping[str, np.ndarray],
        dims: tuple[str, ...] = (),
    ) -> xr.Dataset:
        """`estimate` of ``values`` (..., unit) in each of the groups, masks (unit)."""
        return each(
            CATEGORY,
            groups,
            lambda group: self.estimate(name, statistic, values[..., groups[group]], dims=dims),
        )

    def _estimate(
        self,
        name: str,
        statistic: Callable,
        samples: list[np.ndarray],
        dims: tuple[str, ...],
        paired: bool,
        lost: float = 0,
    ) -> xr.Dataset:
        n = min(sample.shape[-1] for sample in samples)
        value = statistic(*samples, axis=-1) if n else np.full(samples[0].shape[:-1], np.nan)
        low = high = np.full_like(value, np.nan)
        if n > 1:
            low, high = self.ends(statistic, *samples, paired=paired, lost=lost)
        ends = {name: value, f"{name}_low": low, f"{name}_high": high}
        return xr.Dataset({key: (dims, end) for key, end in ends.items()} | {f"{name}_n": n})
