"""Is rote completion picked up earlier than fact? A test of the order of categories.

Kinniment 2022 ("Recall and Regurgitation in GPT2", after ROME) saw the final token take over from the subject
earlier for rote completions, non-English ones first, than for facts.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from strata.names import CATEGORY, FACT, NOISE, PROMPT
from strata.stats.draws import ROUNDING
from strata.stats.permutation import p_value, permuted
from strata.stats.ranks import concordance, concordance_bounds
from strata.trace.confounders import PLACE
from strata.trace.testing import BATCH, Resampling, by_fact, present, ranks_by_fact, row, table_of


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
        for each in _rows(part, how, order, test, level)
    ]
    if table[NOISE].nunique() > 1:
        counts = table.groupby(PROMPT)[PLACE].transform(lambda place: place.notna().all())
        same = f"{test}, prompts that count at every noise"
        for level, part in table[counts].groupby(NOISE, sort=False):
            rows += _rows(part, how, order, same, level)[:1]
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
            low, high = np.clip(how.ends(np.mean, [shares], "exclusion", level, category), 0, 1)
            value, n = shares.mean(), len(shares)
            rows.append(
                row("exclusion", level, category, "share excluded", value, low, high, n=n, unit="share")
            )
        if len(order) > 1:
            values = np.concatenate([excluded[category] for category in order])
            own = np.repeat(np.arange(len(order)), [len(excluded[category]) for category in order])
            dealt = permuted(how.generator("exclusion", level), own, how.n_permutations)
            labels = np.concatenate([own[None], dealt])
            means = [((labels == k) @ values) / (own == k).sum() for k in range(len(order))]
            found, *by_chance = np.ptp(means, axis=0)
            told = {"p": p_value(np.array(by_chance) >= found - ROUNDING), "n": len(own), "unit": "share"}
            rows.append(row("exclusion", level, ", ".join(order), "largest less smallest", found, **told))
    return table_of(rows)


def _rows(part: pd.DataFrame, how: Resampling, order: Sequence[str], test: str, level: str) -> list[dict]:
    """The test at one noise level, and its bounds."""
    unit = "share of pairs (0.5: no order)"
    ranks = ranks_by_fact(part)
    kept = [c for c in order if len(ranks.get(c, ())) >= 2]
    if len(kept) < 2:
        return [row(test, level, "too few facts", "concordance", np.nan, unit=unit)]
    groups, group = tuple(ranks[c] for c in kept), " ≤ ".join(kept)
    found = concordance(*groups)
    by_chance = _permuted_concordance(groups, how.n_permutations, how.generator(test, level))
    p = p_value(np.abs(by_chance - 0.5) >= abs(found - 0.5) - ROUNDING)
    low, high = how.ends(concordance, groups, test, level, group)
    rows = [row(test, level, group, "concordance", found, low, high, p, sum(map(len, groups)), unit)]
    facts = part.groupby(CATEGORY)[FACT].nunique()
    missing = [facts[c] - len(ranks[c]) for c in kept]
    for name, bound in zip(("least", "most"), concordance_bounds(groups, missing), strict=True):
        statistic = f"concordance, {name} with excluded prompts anywhere"
        rows.append(row(test, level, group, statistic, bound, n=int(facts[kept].sum()), unit=unit))
    return rows


def _permuted_concordance(
    groups: tuple[np.ndarray, ...], n_permutations: int, rng: np.random.Generator
) -> np.ndarray:
    """`concordance` with the values dealt out again, [permutation]."""
    values = np.concatenate(groups)
    later = (values > values[:, None]) + 0.5 * (values == values[:, None])
    own = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    n_pairs = (own < own[:, None]).sum()
    ordered = []
    for start in range(0, n_permutations, BATCH):
        size = min(BATCH, n_permutations - start)
        labels = permuted(rng, own, size)
        of_pairs = [((labels < k) @ later * (labels == k)).sum(1) for k in range(1, len(groups))]
        ordered.append(sum(of_pairs))
    return np.concatenate(ordered) / n_pairs
