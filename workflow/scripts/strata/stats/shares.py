"""Intervals of shares of units."""

import numpy as np
import xarray as xr
from scipy import stats

from strata.stats.groups import with_ends
from strata.stats.thresholds import enough


def interval_of_share(values: np.ndarray, interval: float) -> np.ndarray:
    """Ends (low and high, ...) of the mean of ``values`` (..., unit), each 0 or 1, or between.

    Wilson's (1927), with Student's t for the normal, of as many yes or no answers as would vary like the
    values (Korn and Graubard 1998). Where few units are 1, resamples say little, and where none is, nothing.
    NaN for fewer units than are `strata.stats.thresholds.enough`.
    """
    n = values.shape[-1]
    if not enough(n):
        return np.full((2, *values.shape[:-1]), np.nan)
    share, variance = values.mean(-1), values.var(-1)
    spread = share * (1 - share)
    answers = n * np.where(variance > 0, spread / np.where(variance > 0, variance, 1), 1)
    squared = stats.t.ppf((1 + interval) / 2, n - 1) ** 2
    centre = share + squared / (2 * answers)
    half = np.sqrt(squared * (spread + squared / (4 * answers)) / answers)
    return np.stack([centre - half, centre + half]) / (1 + squared / answers)


def share_of_units(name: str, holds: np.ndarray, interval: float, dims: tuple[str, ...] = ()) -> xr.Dataset:
    """In which share of units something holds, with its interval: ``name``, ``_low``, ``_high``, ``_n``.

    ``holds`` (..., unit), of whose dims before the units are ``dims``.
    """
    values = holds.astype(float)
    n = values.shape[-1]
    share = values.mean(-1) if n else np.full(values.shape[:-1], np.nan)
    return with_ends(name, share, interval_of_share(values, interval), n, dims)
