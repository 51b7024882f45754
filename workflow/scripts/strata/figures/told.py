"""Estimates in words, the same in every title and label."""

import math

import xarray as xr


def estimate(at: xr.Dataset, name: str, form: str = ".2f") -> str:
    """The value ``name`` of a dataset of scalars, with ``name_low`` and ``name_high``; see `in_interval`."""
    return in_interval(*(float(at[name + end]) for end in ("", "_low", "_high")), form)


def in_interval(value: float, low: float = math.nan, high: float = math.nan, form: str = ".2f") -> str:
    """A value and its interval, as in "0.31 [0.20, 0.42]".

    The value alone where it has no interval (`strata.stats.thresholds.LEAST_UNITS`), "undefined" where
    there is no value either.

    Parameters
    ----------
    form : how a number is written, a format of Python's
    """
    if math.isnan(value):
        return "undefined"
    return f"{value:{form}}" + (
        "" if math.isnan(low) or math.isnan(high) else f" [{low:{form}}, {high:{form}}]"
    )
