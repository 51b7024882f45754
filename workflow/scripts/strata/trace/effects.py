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
from strata.trace.testing import Resampling, by_fact, present, ranks_by_fact, row, table_of


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

    A group ``a to b`` is positive where the transitions of ``b`` are later. The difference and g are of
    transition depths, the delta of ranks, among which those that never overtake count. p values are of
    Welch's test (difference) and of Mann and Whitney's (delta). One category alone has no rows.

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
    for level, part in table.groupby(NOISE, sort=False):
        depths = by_fact(part, TRANSITION)
        for first, second in combinations(categories, 2):
            of_two = part[part[CATEGORY].isin([first, second])]
            sides = (
                [of.get(c, np.empty(0)) for c in (first, second)] for of in (depths, ranks_by_fact(of_two))
            )
            rows += _pair_rows(level, f"{first} to {second}", *sides, how)
    return table_of(rows)


def _pair_rows(
    level: str, group: str, depths: list[np.ndarray], ranks: list[np.ndarray], how: Resampling
) -> list[dict]:
    measured = {
        "difference of means": (mean_difference, _welch_p, depths, "depth"),
        "Hedges' g": (hedges_g, None, depths, "standard deviations"),
        "Cliff's delta": (cliffs_delta, _mann_whitney_p, ranks, "difference of probabilities"),
    }
    rows = []
    for name, (statistic, test, pair, unit) in measured.items():
        enough = min(map(len, pair)) >= 2
        value = statistic(*pair) if enough else np.nan
        p = test(*pair) if enough and test else np.nan
        low, high = how.ends(statistic, pair, "pair", level, group, name)
        rows.append(row("pair", level, group, name, value, low, high, p, sum(map(len, pair)), unit))
    return rows


def _welch_p(first: np.ndarray, second: np.ndarray) -> float:
    if max(np.ptp(first), np.ptp(second)) == 0:
        return np.nan
    return stats.ttest_ind(first, second, equal_var=False).pvalue


def _mann_whitney_p(first: np.ndarray, second: np.ndarray) -> float:
    return stats.mannwhitneyu(first, second).pvalue


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
    """P(second > first) - P(second < first), over all pairs (Cliff 1993)."""
    return 2 * concordance(first, second, axis=axis) - 1
