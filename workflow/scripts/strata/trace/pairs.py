"""Paired differences of transition depth: pairs of prompts, and of runs of one prompt."""

import numpy as np
import pandas as pd

from strata.names import CATEGORY, FACT, NOISE, PROMPT
from strata.stats.permutation import sign_flip_p
from strata.trace.confounders import TRANSITION
from strata.trace.testing import Resampling, batch_of, row, table_of, with_transition


def pair_prompts(prompts: pd.DataFrame) -> pd.DataFrame:
    """Pairs of prompts that differ only in the filler between subject and final token.

    Parameters
    ----------
    prompts : DataFrame
        ``prompts.tsv``; ``pair`` names a prompt's partner.

    Returns
    -------
    DataFrame
        ``near`` and ``far``, ids, by the number of tokens from subject to final token. A pair in which
        a model's tokens make that equal is left out.
    """
    distance = (prompts["n_tokens"] - 1 - prompts["subject_position"]).set_axis(prompts["id"])
    # Pairs that demand a word have no subject.
    declared = prompts.loc[
        (prompts["pair"] != "") & (prompts["subject_position"] >= 0), ["id", "pair"]
    ].to_numpy()
    # Each of two prompts may name the other.
    pairs = dict.fromkeys(tuple(sorted(pair, key=distance.get)) for pair in declared)
    apart = [(near, far) for near, far in pairs if distance[near] < distance[far]]
    return pd.DataFrame(apart, columns=["near", "far"], dtype=object)


def matched_pairs(table: pd.DataFrame, pairs: pd.DataFrame, how: Resampling) -> pd.DataFrame:
    """Paired difference of transition depth, far less near, of the pairs of `pair_prompts`.

    p is of a sign-flip permutation test, two-sided, of one difference for each fact: the mean over its pairs.
    Pairs of which a prompt was not traced or has no transition are counted.
    """
    of_prompt = table.drop_duplicates(PROMPT).set_index(PROMPT)
    categories, facts = (of_prompt[name].reindex(pairs["near"]).to_numpy() for name in (CATEGORY, FACT))
    rows = []
    for level, part in with_transition(table):
        depth = part.set_index(PROMPT)[TRANSITION]
        near, far = (depth.reindex(pairs[side]).to_numpy() for side in ("near", "far"))
        rows += _paired_rows("distance", level, "far less near", near, far, categories, how, facts)
    return table_of(rows)


def control_run(table: pd.DataFrame, control: pd.DataFrame, name: str, how: Resampling) -> pd.DataFrame:
    """Paired difference of transition depth between a control run and the plain one, by prompt.

    With something before every prompt, so that no subject stands near the first position, noise
    cannot disturb the attention sink there. p and counts are those of `matched_pairs`. Prompts after which
    the model guesses another token there have no transition in the control
    (`strata.trace.restoration.still_guessed`).

    Parameters
    ----------
    table, control : DataFrame
        Of `strata.trace.confounders.transitions`, on the plain trace and on the control's.
    name : str
        Of the control, e.g. "neutral prefix".
    how : Resampling
    """
    rows = []
    for level, part in table.groupby(NOISE, sort=False):
        after = control[control[NOISE] == level].set_index(PROMPT)[TRANSITION]
        after = after.reindex(part[PROMPT]).to_numpy()
        before, of = part[TRANSITION].to_numpy(), part[CATEGORY].to_numpy()
        rows += _paired_rows(
            "control", level, f"{name} less plain", before, after, of, how, part[FACT].to_numpy()
        )
    return table_of(rows)


def _paired_rows(
    test: str,
    level: str,
    compared: str,
    before: np.ndarray,
    after: np.ndarray,
    categories: np.ndarray,
    how: Resampling,
    facts: np.ndarray,
) -> list[dict]:
    """Differences ``after - before`` [pair], of all pairs and of each category's; of a fact their mean."""
    rows = []
    # A pair of which no prompt was traced has no category.
    for category in ["all", *dict.fromkeys(c for c in categories if isinstance(c, str))]:
        chosen = np.full(len(before), True) if category == "all" else categories == category
        difference = pd.Series((after - before)[chosen])
        defined = difference.groupby(facts[chosen], sort=False).mean().dropna().to_numpy()
        group = f"{compared}, {category}"
        rng = how.generator(test, level, group, "signs")
        p = sign_flip_p(defined, how.n_permutations, rng, batch_of(len(defined)))
        low, high = how.ends(np.mean, [defined], test, level, group)
        mean = defined.mean() if len(defined) else np.nan
        n_lost, n = difference.isna().sum(), len(difference)
        rows.append(row(test, level, group, "mean difference", mean, low, high, p, len(defined), "depth"))
        rows.append(row(test, level, group, "without a transition", n_lost, n=n, unit="pairs"))
    return rows
