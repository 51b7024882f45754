"""Families of tests: p of one test, and p for all tests of a family together."""

import numpy as np
import xarray as xr
from statsmodels.stats.multitest import multipletests

HOLM, BENJAMINI_HOCHBERG = "Holm", "Benjamini-Hochberg"
MAXIMUM = "Westfall-Young"
"""Where a family's largest statistic is compared with its largest by chance."""

METHODS = {HOLM: "holm", BENJAMINI_HOCHBERG: "fdr_bh"}
FEW = 20
"""Tests of a family; of so many Holm's correction asks little."""

SMALLEST = float(np.finfo(np.float32).tiny)
"""What stands for smaller p: no file has a 0 for what is only less than its numbers can hold."""


def above_zero(p: np.ndarray) -> np.ndarray:
    """The same p, none of them below `SMALLEST`; NaN stays."""
    return np.maximum(p, SMALLEST)


def adjusted(*parts: np.ndarray, method: str = "") -> tuple[list[np.ndarray], str]:
    """p of a family's tests for all of them together, and in words how many they are and how corrected.

    Holm (1979) bounds the chance of a single wrong finding, Benjamini and Hochberg (1995) the share of wrong
    ones among the findings.

    Parameters
    ----------
    parts : arrays of any shapes
        p of all tests, each of one test alone. NaN is no test, and stays.
    method : str
        A key of `METHODS`; of `FEW` tests Holm's, of more Benjamini's and Hochberg's if none is given.
    """
    flat = above_zero(np.concatenate([np.asarray(part, float).ravel() for part in parts]))
    known = np.isfinite(flat)
    n = int(known.sum())
    method = method or (HOLM if n <= FEW else BENJAMINI_HOCHBERG)
    if n:
        flat[known] = multipletests(flat[known], method=METHODS[method])[1]
    ends = np.cumsum([np.size(part) for part in parts])[:-1]
    found = [each.reshape(np.shape(part)) for each, part in zip(np.split(flat, ends), parts, strict=True)]
    return found, f"{n} ({method})"


def with_adjusted(tested: xr.Dataset, *names: str, method: str = "") -> xr.Dataset:
    """The variables ``names``, p of one test each, corrected as one family: ``{name}_adjusted`` beside them.

    What the family is called and how it is corrected is said in their attribute ``family``.
    """
    found, told = adjusted(*(tested[name].values for name in names), method=method)
    told = f"{', '.join(names)}: {told}"
    fields = {name: (tested[name].dims, above_zero(tested[name].values)) for name in names}
    fields |= {
        f"{name}_adjusted": (tested[name].dims, p, {"family": told})
        for name, p in zip(names, found, strict=True)
    }
    return tested.assign(fields)
