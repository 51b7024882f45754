"""Heads of the final token that attend otherwise where a fact is recalled than where a phrase is completed.

That heads look at the subject of a fact, in the layers where its answer arrives, and not at that of a rote
completion, is Kinniment's (2022) main evidence for how facts are passed on. A model has many heads, and some
of them differ by chance: each is tested, and the tests are corrected for how many they are.

Facts are told in longer prompts than phrases are, and in a short prompt every token has a large share of
attention, of a head too that looks at nothing in particular. Tests are therefore of log odds beyond an even
spread, ln(a / (1 - a)) less the same of k / n for k of n tokens: how much higher a head scores the site
than what else there is, which the length of a prompt does not change.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats
from scipy.special import logit

from strata.attention.names import FINAL, FIRST, SUBJECT
from strata.names import HEAD, LAYER, PROMPT, SITE
from strata.stats.bootstrap import Bootstrap
from strata.stats.groups import cluster_means
from strata.stats.many_tests import BENJAMINI_HOCHBERG, above_zero, adjusted

CONTRASTED = (SUBJECT, FIRST, FINAL)
"""Sites that are compared."""

HEADS_OF_SITES = [SITE, LAYER, HEAD]
DIFFERENCE = ["difference", "difference_low", "difference_high"]
TESTED = ["concordance", "p", "p_adjusted", "family", "holds"]
COLUMNS = [*HEADS_OF_SITES, "mean_facts", "mean_rote", *DIFFERENCE, *TESTED, "n_facts", "n_rote"]
"""Of the table that `contrast_heads` returns."""

LEVEL = 0.05
"""Share of the heads that hold which may be expected to be no difference."""


def contrast_heads(
    attention: xr.Dataset,
    facts: Sequence[str],
    rote: Sequence[str],
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Every head's attention in facts, less that in rote completions.

    The unit is the fact: prompts that ask the same in other words are averaged first. Log odds beyond an even
    spread are compared by their ranks (Mann and Whitney 1947); all heads and sites are one family, corrected
    as Benjamini and Hochberg (1995) did.

    Parameters
    ----------
    attention : Dataset
        As `strata.attention.final_token.analyse` returns it.
    facts, rote : categories of either kind, pooled; those without prompts are left out
    bootstrap : over units

    Returns
    -------
    DataFrame
        A row for each site of `CONTRASTED` and head, of each site those first whose difference is the
        largest; none, if a kind has fewer than two units. ``mean_facts``, ``mean_rote`` (shares of
        attention), and their ``difference`` with its interval. ``concordance``: in which share of pairs, a
        unit of each kind, the fact's log odds are larger, ties counted half; ``p``, two-sided, and
        ``p_adjusted`` for all tests of its ``family``; ``holds``, whether this is below `LEVEL` and the
        difference has that sign too. ``n_facts``, ``n_rote`` units.
    """
    at_sites = attention.sel({SITE: list(CONTRASTED)})
    share, even = (at_sites[f"{name}_prompt"].astype(float) for name in ("attention", "even"))
    unit = attention["prompt_fact"].values
    kinds = [np.isin(attention["prompt_category"].values, kind) for kind in (facts, rote)]

    def units(values: xr.DataArray) -> list[np.ndarray]:
        """Means over the prompts of each unit (row, unit), of either kind."""
        rows = values.transpose(PROMPT, *HEADS_OF_SITES).values.reshape(len(unit), -1)
        return [cluster_means(rows[chosen], unit[chosen]).T for chosen in kinds]

    shares, evens = units(share), units(even.broadcast_like(share))
    n_facts, n_rote = (a.shape[1] for a in shares)
    if min(n_facts, n_rote) < 2:
        return pd.DataFrame(columns=COLUMNS)
    # Rounding makes a share of all of a prompt's attention a little more than one.
    odds = [logit(a.clip(0, 1)) - logit(spread) for a, spread in zip(shares, evens, strict=True)]
    ranks = stats.mannwhitneyu(*odds, axis=1)
    difference = bootstrap.estimate("difference", _difference, *shares, dims=("row",))
    labels = pd.MultiIndex.from_product([share[dim].values for dim in HEADS_OF_SITES], names=HEADS_OF_SITES)
    table = labels.to_frame(index=False)
    table["mean_facts"], table["mean_rote"] = (a.mean(1) for a in shares)
    table[DIFFERENCE] = np.stack([difference[name] for name in DIFFERENCE], axis=1)
    table["concordance"], table["p"] = ranks.statistic / (n_facts * n_rote), above_zero(ranks.pvalue)
    (table["p_adjusted"],), told = adjusted(ranks.pvalue, method=BENJAMINI_HOCHBERG)
    table["family"] = f"heads of the final token, concordance: {told}"
    same_sign = (table["concordance"] > 0.5) == (table["difference"] > 0)
    table["holds"] = (table["p_adjusted"] < LEVEL) & same_sign
    table["n_facts"], table["n_rote"] = n_facts, n_rote
    ranked = np.lexsort([-table["difference"], table[SITE].map(CONTRASTED.index)])
    return table[COLUMNS].iloc[ranked].reset_index(drop=True)


def _difference(facts: np.ndarray, rote: np.ndarray, axis: int) -> np.ndarray:
    return facts.mean(axis) - rote.mean(axis)
