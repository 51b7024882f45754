"""Is rote completion picked up earlier than fact? A test of the order of categories.

Kinniment 2022 ("Recall and Regurgitation in GPT2", after ROME) saw the final token take over from the subject
earlier for rote completions, non-English ones first, than for facts.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from strata.names import CATEGORY
from strata.stats.permutation import p_value, permuted
from strata.stats.ranks import concordance
from strata.trace.confounders import TRANSITION
from strata.trace.testing import BATCH, Resampling, present, row, table_of, with_transition


def trend(table: pd.DataFrame, how: Resampling, order: Sequence[str], test: str = "order") -> pd.DataFrame:
    """Permutation test of an order of categories, from the earliest transition to the latest.

    The statistic is the `strata.stats.ranks.concordance` of Jonckheere and Terpstra; p is the share of
    permutations of the category labels with one as large. Both directions are rows: the stated order and
    its reverse.

    Parameters
    ----------
    table : DataFrame
        Of `strata.trace.confounders.transitions`.
    how : Resampling
    order : sequence of str
        Categories. Those with fewer than two prompts that have a transition are left out, as ``group``
        shows. No rows if fewer than two of them are in ``table``.
    test : str
        What the rows are called, to tell runs apart.
    """
    order = present(order, table[CATEGORY])
    if len(order) < 2:
        return table_of([])
    unit = "share of pairs (0.5: no order)"
    rows = []
    for level, part in with_transition(table):
        values = {c: part.loc[part[CATEGORY] == c, TRANSITION].to_numpy() for c in order}
        kept = [c for c in order if len(values[c]) >= 2]
        if len(kept) < 2:
            rows.append(row(test, level, "too few prompts", "concordance", np.nan, unit=unit))
            continue
        groups = tuple(values[c] for c in kept)
        found = concordance(*groups)
        by_chance = _permuted_concordance(groups, how.n_permutations, how.generator(test, level))
        for names, as_large in ((kept, by_chance >= found), (kept[::-1], by_chance <= found)):
            groups, group = tuple(values[c] for c in names), " ≤ ".join(names)
            low, high = how.ends(concordance, groups, test, level, group)
            value, p, n = concordance(*groups), p_value(as_large), sum(map(len, groups))
            rows.append(row(test, level, group, "concordance", value, low, high, p, n, unit))
    return table_of(rows)


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
