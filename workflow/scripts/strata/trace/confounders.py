"""The transition depths of prompts, and what may confound a comparison of them.

The confounders are those that the author of the post names: distance, clean probability, frequency, subjects
of several tokens, subjects near the first position.
"""

import numpy as np
import pandas as pd
import xarray as xr

from strata.names import CATEGORY, FACT, NOISE, PROMPT
from strata.trace.transition import FROM_START, NEVER

TRANSITION = "transition_depth"
PLACE = "place"
# Tokens from subject to final token; logit of the clean probability; log10 of 1 + occurrences; log2
# of 1 + position, since it is nearness to the first position that matters.
CONTINUOUS = ("distance", "logit_clean", "log_target_count", "log_subject_count", "log_position")
INDICATORS = ("several_tokens",)
PLACES = {NEVER: np.inf, FROM_START: -np.inf}
SURE = 1e-6  # clean probabilities are clipped to [SURE, 1 - SURE]: beyond, float32 decides their logit


def transitions(averages: xr.Dataset, prompts: pd.DataFrame, counts: pd.DataFrame) -> pd.DataFrame:
    """One row for each prompt and noise level: its transition depth, and what may confound it.

    Parameters
    ----------
    averages : Dataset
        Of `strata.trace.averages.average_by_category` on a trace of states.
    prompts : DataFrame
        ``prompts.tsv``.
    counts : DataFrame
        ``token_id`` and ``count``: how often each token occurs in text like the model's.

    Returns
    -------
    DataFrame
        ``prompt``, ``fact``, ``category``, ``noise``, ``transition_depth`` (NaN where undefined),
        ``transition_reason``; ``place``, the same for tests by rank: infinite where the final token never
        overtakes, minus infinite where it is ahead from the start, NaN where the prompt is excluded; and
        `CONTINUOUS` and `INDICATORS`. A subject of several tokens counts
        as often as its last; its position is that of its first.

    Raises
    ------
    ValueError
        If a traced prompt has no row in ``prompts``.
    """
    table = averages[[TRANSITION, "transition_reason"]].to_dataframe().reset_index()
    table = table.rename(columns={"prompt_category": CATEGORY, "prompt_fact": FACT})
    table[PLACE] = table[TRANSITION].fillna(table["transition_reason"].map(PLACES))
    missing = set(table[PROMPT]) - set(prompts["id"])
    if missing:
        raise ValueError(f"traced, but not among the prompts: {', '.join(sorted(missing))}")
    rows = prompts.set_index("id").loc[table[PROMPT]].reset_index()
    count = counts.set_index("token_id")["count"]
    sure = rows["p_target"].clip(SURE, 1 - SURE)
    confounders = {
        "distance": rows["n_tokens"] - 1 - rows["subject_position"],
        "logit_clean": np.log(sure / (1 - sure)),
        "log_target_count": np.log10(1 + count.reindex(rows["target_id"]).to_numpy()),
        "log_subject_count": np.log10(1 + count.reindex(rows["subject_id"]).to_numpy()),
        "log_position": np.log2(1 + rows["subject_start"]),
        "several_tokens": rows["subject_n_tokens"] > 1,
    }
    columns = [PROMPT, FACT, CATEGORY, NOISE, TRANSITION, "transition_reason", PLACE]
    return table[columns].assign(**{name: np.asarray(v, float) for name, v in confounders.items()})
