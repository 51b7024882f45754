"""Where the whole restoration curves of two categories differ."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
import pandas as pd
import xarray as xr

from strata.names import CATEGORY, NOISE, PROMPT, SITE
from strata.stats.draws import ROUNDING
from strata.stats.groups import cluster_means
from strata.stats.permutation import p_value, permuted_in_tiles
from strata.trace.restoration import depth_or_layer
from strata.trace.testing import COLUMNS, CORRECTED, Resampling, present


def curve_differences(averages: xr.Dataset, order: Sequence[str], how: Resampling) -> pd.DataFrame:
    """`curve_difference` of every category less the last one of an expected order.

    Parameters
    ----------
    averages : Dataset
        Of `strata.trace.averages.average_by_category`.
    order : sequence of str
        Categories. Others are compared after those; no rows if fewer than two of the order are there.
    how : Resampling
    """
    categories = averages[CATEGORY].values.tolist()
    compared = present(order, categories)
    columns = _columns(depth_or_layer(averages, "restoration_prompt"), CORRECTED)
    if len(compared) < 2:
        return pd.DataFrame(columns=columns)
    first = dict.fromkeys([*compared[:-1], *categories])
    tables = [curve_difference(averages, c, compared[-1], how) for c in first if c != compared[-1]]
    return _corrected(pd.concat(tables, ignore_index=True))[columns]


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    """With p for all comparisons together: each p is for all depths of one already (Bonferroni)."""
    n = table.loc[table["p"].notna(), ["noise", "group"]].drop_duplicates().shape[0]
    table = table.assign(p_adjusted=(table["p"] * n).clip(upper=1), family="")
    table.loc[table["p"].notna(), "family"] = f"curves, difference of means: {n} (Bonferroni)"
    return table


def curve_difference(averages: xr.Dataset, first: str, second: str, how: Resampling) -> pd.DataFrame:
    """Where the restoration curves of two categories differ: mean of ``first`` less mean of ``second``.

    A fact's curve is the mean over its prompts', and the category labels of facts are permuted. Every
    depth's difference is divided by its standard deviation over
    the permutations; the largest over all depths and both sites is compared with the largest of each
    permutation. So the band (``low`` to ``high``) holds for all depths together, and p is corrected
    for their number (the single-step procedure of Westfall and Young 1993).

    Parameters
    ----------
    averages : Dataset
        Of `strata.trace.averages.average_by_category`.
    first, second : str
        Categories.
    how : Resampling

    Returns
    -------
    DataFrame
        `COLUMNS`, and ``site`` and ``depth`` (or ``layer``). ``value`` has no unit: it is restoration.
    """
    axis = depth_or_layer(averages, "restoration_prompt")
    category, facts = averages["prompt_category"].values, averages["prompt_fact"].values
    group = f"{first} less {second}"
    tables = []
    for level in averages[NOISE].values:
        curves = averages["restoration_prompt"].sel({NOISE: level}).transpose(PROMPT, SITE, axis)
        used = averages["included"].sel({NOISE: level}).values & np.isin(category, [first, second])
        values = cluster_means(curves.values[used], facts[used])
        of_first = cluster_means(category[used] == first, facts[used]) == 1  # a fact has one category
        difference, half, p = _max_band(values, of_first, how, group, level)
        table = curves.isel({PROMPT: 0}, drop=True).copy(data=difference).to_dataframe("value").reset_index()
        names = {"test": "curves", "noise": level, "group": group, "statistic": "difference of means"}
        table = table.assign(**names, p=p.ravel(), n=len(values), unit="restoration")
        table["low"], table["high"] = (difference - half).ravel(), (difference + half).ravel()
        tables.append(table[_columns(axis)])
    return pd.concat(tables, ignore_index=True)


def _columns(axis: str, columns: Sequence[str] = COLUMNS) -> list[str]:
    return [*columns[:4], SITE, axis, *columns[4:]]


def _max_band(
    values: np.ndarray, of_first: np.ndarray, how: Resampling, group: str, level: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Difference of means, half width of its band and p [...], of ``values`` [prompt, ...]."""
    shape = values.shape[1:]
    n, n_first = len(of_first), int(of_first.sum())
    if min(n_first, n - n_first) < 2:
        return (np.full(shape, np.nan),) * 3
    flat = values.reshape(n, -1)
    rng = how.generator("curves", level, group)
    dealt = [of_first[None]], permuted_in_tiles(rng, of_first, how.n_permutations)
    differences = np.concatenate(
        [np.where(labels, 1 / n_first, -1 / (n - n_first)) @ flat for labels in chain(*dealt)]
    )
    spread = differences.std(0)
    # Rounding is no spread: a depth at which all prompts are restored alike decides nothing.
    varies = spread > ROUNDING
    differences = np.where(varies, differences, 0)
    spread = np.where(varies, spread, 1)
    standardised = np.abs(differences / spread)
    largest = standardised.max(1)
    # ROUNDING: sums in another order.
    p = p_value(largest[1:, None] >= standardised[0] * (1 - ROUNDING))
    half = np.quantile(largest, how.interval) * spread * varies
    return differences[0].reshape(shape), half.reshape(shape), p.reshape(shape)
