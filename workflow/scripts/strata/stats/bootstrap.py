"""Intervals by drawing units anew, units being prompts, mostly, and statistics by category."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from strata.names import ALL, CATEGORY, DEPTH

TILE_VALUES = 4_000_000  # float64 values of a tile of resamples: 32 MB


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made: percentiles of a statistic over ``resamples`` draws with replacement.

    ``interval`` is the coverage, e.g. 0.95. The draws hang on ``seed`` and the number of units alone:
    decoders share them, and other categories' prompts change nothing.

    Raises
    ------
    ValueError
        If ``resamples`` or ``interval`` is impossible.
    """

    resamples: int
    interval: float
    seed: int

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ValueError(f"resamples must be at least 1, not {self.resamples}")
        if not 0 < self.interval < 1:
            raise ValueError(f"interval is a coverage in (0, 1), not {self.interval}")

    def estimate(
        self, name: str, statistic: Callable, *samples: np.ndarray, dims: tuple[str, ...] = ()
    ) -> xr.Dataset:
        """A statistic with its interval: ``name``, ``name_low``, ``name_high`` (dims) and ``name_n``.

        Parameters
        ----------
        statistic : function of the samples and ``axis``, that of the units
        samples : arrays (..., unit)
            A unit with a NaN is left out. Several samples are drawn independently; ``name_n`` is the
            smallest one's.
        dims : of what the statistic returns
        """
        samples = [s[..., ~np.isnan(s).any(axis=tuple(range(s.ndim - 1)))] for s in samples]
        return self._estimate(name, statistic, samples, dims, paired=False)

    def by_depth(self, name: str, statistic: Callable, values: np.ndarray, *others: np.ndarray) -> xr.Dataset:
        """`estimate` of ``values`` (depth 0 to L, unit) at each depth and of their mean over 1 to L.

        ``others`` (unit) belong to the same units and are drawn with them.
        """
        each = self._estimate(name, statistic, [values, *others], (DEPTH,), paired=True)
        mean = values[1:].mean(0)
        return each.merge(self._estimate(f"{name}_overall", statistic, [mean, *others], (), paired=True))

    def by_category(
        self,
        name: str,
        statistic: Callable,
        values: np.ndarray,
        groups: Mapping[str, np.ndarray],
        dims: tuple[str, ...] = (),
    ) -> xr.Dataset:
        """`estimate` of ``values`` (..., unit) in each of the groups, masks (unit)."""
        each = [self.estimate(name, statistic, values[..., group], dims=dims) for group in groups.values()]
        return xr.concat(each, dim=named(CATEGORY, groups), join="exact")

    def _estimate(
        self, name: str, statistic: Callable, samples: list[np.ndarray], dims: tuple[str, ...], paired: bool
    ) -> xr.Dataset:
        n = min(sample.shape[-1] for sample in samples)
        value = statistic(*samples, axis=-1) if n else np.full(samples[0].shape[:-1], np.nan)
        low = high = np.full_like(value, np.nan)
        if n > 1:
            with warnings.catch_warnings():
                # A statistic that is undefined in a resample has no interval: NaN says so.
                warnings.simplefilter("ignore", stats.DegenerateDataWarning)
                low, high = stats.bootstrap(
                    samples,
                    statistic,
                    n_resamples=self.resamples,
                    batch=max(1, TILE_VALUES // sum(sample.size for sample in samples)),
                    vectorized=True,
                    paired=paired,
                    axis=-1,
                    confidence_level=self.interval,
                    method="percentile",
                    rng=self.seed,
                ).confidence_interval
        ends = {name: value, f"{name}_low": low, f"{name}_high": high}
        return xr.Dataset({key: (dims, end) for key, end in ends.items()} | {f"{name}_n": n})


def interval_of_mean(
    values: np.ndarray, resamples: int, interval: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles (...) of the mean of ``values`` (..., unit), units drawn anew; NaN for fewer than two."""
    n = values.shape[-1]
    if n < 2:
        return np.full((2, *values.shape[:-1]), np.nan)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=resamples)  # how often each unit is drawn
    return np.quantile(values @ drawn.T / n, [(1 - interval) / 2, (1 + interval) / 2], axis=-1)


def masks_by_category(category: Iterable[str], names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Masks of all units together and of each category (of those named, or that occur)."""
    category = np.asarray(category)
    names = pd.unique(category) if names is None else names
    return {ALL: np.ones(len(category), dtype=bool)} | {name: category == name for name in names}


def named(dim: str, names: Iterable) -> xr.DataArray:
    """Names along a dimension of their own, to concatenate along."""
    return xr.DataArray(list(names), dims=dim, name=dim)
