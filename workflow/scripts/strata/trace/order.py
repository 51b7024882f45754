"""Is rote completion picked up earlier than fact? A test of the order of categories.

Kinniment 2022 ("Recall and Regurgitation in GPT2", after ROME) saw the final token take over from the subject
earlier for rote completions, non-English ones first, than for facts.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from strata.names import CATEGORY, FACT, NOISE, PROMPT
from strata.stats.draws import ROUNDING
from strata.stats.permutation import p_value, permuted_in_tiles
from strata.stats.ranks import concordance, concordance_bounds
from strata.stats.shares import interval_of_share
from strata.trace.confounders import PLACE
from strata.trace.testing import Resampling, by_fact, present, ranks_by_fact, row, table_of

UNIT = "share of pairs (0.5: no order)"


def trend(table: pd.DataFrame, how: Resampling, order: Sequence[str], test: str = "order") -> pd.DataFrame:
    """Permutation test of an order of categories, from the earliest transition to the latest.

    The statistic is the `strata.stats.ranks.concordance` of Jonckheere and Terpstra; p is the share of
    permutations of the facts' category labels that are as far from no order. Two rows say between what the
    excluded prompts could move it, wherever their transitions are (`concordance_bounds`). With several
    noise levels the test is repeated on the prompts that count at every one of them.

    Parameters
    ----------
    table : DataFrame
        Of `strata.trace.confounders.transitions`.
    how : Resampling
    order : sequence of str
        Categories. Those with fewer than two facts that count are left out, as ``group`` shows. No rows
        if fewer than two of them are in ``table``.
    test : str
        What the rows are called, to tell runs apart.
    """
    order = present(order, table[CATEGORY])
    if len(order) < 2:
        return table_of([])
    table = table[table[CATEGORY].isin(order)]
    rows = [
        each
        for level, part in table.groupby(NOISE, sort=False)
        for each in [_test(part, how, order, test, level), *_bounds(part, order, test, level)]
    ]
    if table[NOISE].nunique() > 1:
        counts = table.groupby(PROMPT)[PLACE].transform(lambda place: place.notna().all())
        same = f"{test}, prompts that count at every noise"
        for level, part in table[counts].groupby(NOISE, sort=False):
            rows.append(_test(part, how, order, same, level))
    return table_of(rows)


def exclusion(table: pd.DataFrame, how: Resampling, order: Sequence[str]) -> pd.DataFrame:
    """Whether noise leaves some categories' prompts alone more than others', so that they are excluded.

    The share of excluded prompts of each category; and the largest less the smallest share, with p of a
    permutation test of the facts' labels. Parameters are those of `trend`.
    """
    order = present(order, table[CATEGORY])
    rows = []
    for level, part in table[table[CATEGORY].isin(order)].groupby(NOISE, sort=False):
        excluded = by_fact(part.assign(excluded=part[PLACE].isna().astype(float)), "excluded")
        for category in order:
            shares = excluded[category]
            low, high = interval_of_share(shares, how.interval)
            value, n = shares.mean(), len(shares)
            rows.append(
                row("exclusion", level, category, "share excluded", value, low, high, n=n, unit="share")
            )
        if len(order) > 1:
            values = np.concatenate([excluded[category] for category in order])
            own = np.repeat(np.arange(len(order)), [len(excluded[category]) for category in order])
            sizes = np.bincount(own)

            def apart(labels: np.ndarray, values=values, sizes=sizes) -> np.ndarray:
                """The largest less the smallest share, (permutation)."""
                return np.ptp([(labels == k) @ values / size for k, size in enumerate(sizes)], axis=0)

            dealt = permuted_in_tiles(how.generator("exclusion", level), own, how.n_permutations)
            [found], by_chance = apart(own[None]), np.concatenate([apart(labels) for labels in dealt])
            told = {"p": p_value(by_chance >= found - ROUNDING), "n": len(own), "unit": "share"}
            rows.append(row("exclusion", level, ", ".join(order), "largest less smallest", found, **told))
    return table_of(rows)


def _test(part: pd.DataFrame, how: Resampling, order: Sequence[str], test: str, level: str) -> dict:
    """The test at one noise level."""
    group, groups = _compared(part, order)
    if not groups:
        return row(test, level, "too few facts", "concordance", np.nan, unit=UNIT)
    found = concordance(*groups.values())
    dealt = how.generator(test, level)
    by_chance = _permuted_concordance(tuple(groups.values()), how.n_permutations, dealt)
    p = p_value(np.abs(by_chance - 0.5) >= abs(found - 0.5) - ROUNDING)
    low, high = how.ends(concordance, tuple(groups.values()), test, level, group)
    return row(test, level, group, "concordance", found, low, high, p, sum(map(len, groups.values())), UNIT)


def _bounds(part: pd.DataFrame, order: Sequence[str], test: str, level: str) -> list[dict]:
    """Between what the excluded prompts could move it."""
    group, groups = _compared(part, order)
    if not groups:
        return []
    facts = part.groupby(CATEGORY)[FACT].nunique()
    missing = [facts[category] - len(ranks) for category, ranks in groups.items()]
    bounds = concordance_bounds(tuple(groups.values()), missing)
    n = int(facts[list(groups)].sum())
    return [
        row(test, level, group, f"concordance, {name} with excluded prompts anywhere", bound, n=n, unit=UNIT)
        for name, bound in zip(("least", "most"), bounds, strict=True)
    ]


def _compared(part: pd.DataFrame, order: Sequence[str]) -> tuple[str, dict[str, np.ndarray]]:
    """The ranks (fact) of each category that has two facts, and what they are called together."""
    ranks = ranks_by_fact(part)
    kept = {category: ranks[category] for category in order if len(ranks.get(category, ())) >= 2}
    return " ≤ ".join(kept), kept if len(kept) >= 2 else {}


def _permuted_concordance(
    groups: tuple[np.ndarray, ...], n_permutations: int, rng: np.random.Generator
) -> np.ndarray:
    """`concordance` with the values dealt out again, [permutation]; they are sorted once."""
    values, sizes = np.concatenate(groups), [len(group) for group in groups]
    own, order = np.repeat(np.arange(len(groups)), sizes), values.argsort(kind="stable")
    n_pairs = (len(own) ** 2 - sum(size**2 for size in sizes)) / 2
    first, end = (np.searchsorted(values[order], values[order], side) for side in ("left", "right"))
    ordered = []
    for labels in permuted_in_tiles(rng, own, n_permutations):
        labels, total = labels[:, order], 0
        for k in range(1, len(groups)):
            # Of lower groups: how many values are smaller, and half of those that are equal.
            lower = np.pad((labels < k).cumsum(1), ((0, 0), (1, 0)))
            total = total + ((lower[:, first] + lower[:, end]) / 2 * (labels == k)).sum(1)
        ordered.append(total)
    return np.concatenate(ordered) / n_pairs
