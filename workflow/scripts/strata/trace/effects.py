"""How far apart the transition depths of categories are."""

from collections.abc import Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from strata.names import CATEGORY, NOISE
from strata.stats.ranks import concordance
from strata.trace.confounders import TRANSITION
from strata.trace.testing import Resampling, present, row, table_of, with_transition


def category_means(averages: xr.Dataset) -> pd.DataFrame:
    """Mean transition depth of every category and noise level, and prompts without one, by reason.

    ``averages`` is of `strata.trace.averages.average_by_category`, whose intervals these are.
    """
    rows = []
    for level, category in product(averages[NOISE].values, averages[CATEGORY].values):
        at = averages.sel({NOISE: level, CATEGORY: category})
        ends = {end: float(at[f"transition_{end}"]) for end in ("low", "high")}
        mean, n = float(at["transition_mean"]), int(at["n_transition"])
        rows.append(row("category", level, category, "mean", mean, n=n, unit="depth", **ends))
        reasons = averages["transition_reason"].sel({NOISE: level})
        of_category = reasons.values[averages["prompt_category"].values == category]
        for reason, left_out in pd.Series(of_category[of_category != ""]).value_counts().items():
            n = len(of_category)
            rows.append(row("category", level, category, reason, left_out, n=n, unit="prompts"))
    return table_of(rows)


def effect_sizes(table: pd.DataFrame, how: Resampling, order: Sequence[str] = ()) -> pd.DataFrame:
    """How far apart every two categories are: difference of means, Hedges' g, Cliff's delta.

    A group ``a to b`` is positive where the transitions of ``b`` are later. p values are of Welch's
    test (difference) and of Mann and Whitney's (delta), two-sided. One category alone has no rows.

    Parameters
    ----------
    table : DataFrame
        Of `strata.trace.confounders.transitions`.
    how : Resampling
    order : sequence of str
        Categories that come first, in this order; others follow as they appear.
    """
    categories = list(dict.fromkeys([*present(order, table[CATEGORY]), *table[CATEGORY]]))
    rows = []
    for level, part in with_transition(table):
        groups = {c: g.to_numpy() for c, g in part.groupby(CATEGORY)[TRANSITION]}
        for first, second in combinations(categories, 2):
            pair = groups.get(first, np.empty(0)), groups.get(second, np.empty(0))
            rows += _pair_rows(level, f"{first} to {second}", pair, how)
    return table_of(rows)


def _pair_rows(level: str, group: str, pair: tuple[np.ndarray, np.ndarray], how: Resampling) -> list[dict]:
    measured = {
        "difference of means": (mean_difference, "depth"),
        "Hedges' g": (hedges_g, "standard deviations"),
        "Cliff's delta": (cliffs_delta, "difference of probabilities"),
    }
    n = sum(map(len, pair))
    enough = min(map(len, pair)) >= 2
    p = {}
    if enough:
        p["Cliff's delta"] = stats.mannwhitneyu(*pair).pvalue
        if max(map(np.ptp, pair)) > 0:
            p["difference of means"] = stats.ttest_ind(*pair, equal_var=False).pvalue
    rows = []
    for name, (statistic, unit) in measured.items():
        value = statistic(*pair) if enough else np.nan
        low, high = how.ends(statistic, pair, "pair", level, group, name)
        rows.append(row("pair", level, group, name, value, low, high, p.get(name, np.nan), n, unit))
    return rows


def mean_difference(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean of ``second`` less mean of ``first``."""
    return second.mean(axis) - first.mean(axis)


def hedges_g(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    """Difference of means in pooled standard deviations, corrected for small samples.

    Hedges 1981, with his approximation 1 - 3 / (4 df - 1). NaN where nothing varies.
    """
    n, m = first.shape[axis], second.shape[axis]
    df = n + m - 2
    pooled = np.sqrt(((n - 1) * first.var(axis, ddof=1) + (m - 1) * second.var(axis, ddof=1)) / df)
    spread = np.where(pooled > 0, pooled, np.nan)
    return mean_difference(first, second, axis) / spread * (1 - 3 / (4 * df - 1))


def cliffs_delta(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
    """P(second > first) - P(second < first), over all pairs of prompts (Cliff 1993)."""
    return 2 * concordance(first, second, axis=axis) - 1
