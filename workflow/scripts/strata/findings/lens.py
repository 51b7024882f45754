"""The lens and probes by depth: statistics of what nostalgebraist (2020) and readers of the post found."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from strata.findings.estimates import Estimate, independent_difference, read
from strata.lens.comparison import at_whole_depths, kl_to_final, prompt_means
from strata.names import ALL, CATEGORY, DEPTH, FACT, LABEL, LAYER, TARGET
from strata.stats.bootstrap import Bootstrap, widened
from strata.text.tokens import of_text

LOGIT = "logit"


def kl_by_depth(lens: xr.Dataset) -> pd.DataFrame:
    """Mean KL(final ‖ depth) of each prompt, nat: rows (category, fact, prompt), columns whole depths."""
    return prompt_means(kl_to_final(whole_depths(lens[["kl_final"]])))


def input_on_top(lens: xr.Dataset) -> pd.DataFrame:
    """Share of a prompt's tokens whose own token is the top guess: rows as `prompt_means`, columns depth."""
    return prompt_means((whole_depths(lens[["rank_of_input"]])["rank_of_input"] == 0).astype(float))


def falling(lens: xr.Dataset, statistics: Mapping) -> Estimate:
    """Share of blocks through which a prompt's mean KL(final ‖ depth) falls; unit: prompts.

    Parameters
    ----------
    lens : of lens/logit.nc
    statistics : ``resamples``, ``interval`` and ``seed`` of the bootstrap
    """
    means = kl_by_depth(lens)
    falls = np.diff(means.to_numpy(), axis=1) < 0
    return mean_over_prompts(falls.mean(axis=1), means.index.get_level_values(FACT), statistics)


def input_kept(lens: xr.Dataset, depth: int, statistics: Mapping) -> Estimate:
    """Share of tokens whose own token is the top guess at a depth; unit: prompts."""
    means = input_on_top(lens)[depth]
    return mean_over_prompts(means.to_numpy(), means.index.get_level_values(FACT), statistics)


def first_block_of_input(questions: xr.Dataset) -> Estimate:
    """Block 0's share of the rise of KL(input ‖ depth) less its share of the fall of KL(final ‖ depth).

    Unit: prompts; the two are taken as independent.
    """
    where = {"decoder": LOGIT, CATEGORY: ALL, LAYER: 0}
    shares = (read(questions, name, **where) for name in ("kl_input_share", "kl_final_share"))
    return independent_difference(*shares)


def first_block_share(questions: xr.Dataset) -> Estimate:
    """Share of the fall of KL(final ‖ depth) that is block 0's, logit lens.

    Parameters
    ----------
    questions : of lens/questions.nc
    """
    return read(questions, "kl_final_share", decoder=LOGIT, **{CATEGORY: ALL, LAYER: 0})


def rarer_kept(questions: xr.Dataset) -> Estimate:
    """Rank correlation of a token's frequency with log10(rank + 1) of the input, mean over depths 1 to L.

    Positive: rarer tokens stand higher. Unit: token types.
    """
    return read(questions, "frequency_rho_overall", decoder=LOGIT)


def copied_depth(questions: xr.Dataset) -> Estimate:
    """Depth from which on a copied word is among the ten top guesses, as a share of L."""
    found = read(questions, "target_depth", decoder=LOGIT, **{CATEGORY: "copying"})
    return found.of(questions.sizes[LAYER])


def repeated_depth(questions: xr.Dataset, repeat: int) -> Estimate:
    """Depth from which on the next token is among the ten top guesses in a repeat, as a share of L."""
    return read(questions, "repeat_depth", decoder=LOGIT, repeat=repeat).of(questions.sizes[LAYER])


def repeats_needed(questions: xr.Dataset, first: int, later: int) -> Estimate:
    """How many more of the next tokens are among the ten top guesses in a later repeat than in a first one.

    Of all next tokens; unit: prompts. The two repeats are taken as independent.
    """
    shares = (read(questions, "repeat_share", decoder=LOGIT, repeat=repeat) for repeat in (later, first))
    return independent_difference(*shares)


def comma_change(questions: xr.Dataset) -> Estimate:
    """log10(rank + 1) of a text's third comma, where it is the input, less that of its first.

    Mean over depths 1 to L; unit: passages.
    """
    return read(questions, "comma_change_overall", decoder=LOGIT)


def nearer_to_bigrams(contextless: xr.Dataset, share: float) -> Estimate:
    """KL(bigram ‖ readout) on the way less that at the last depth, nat; unit: documents.

    The two depths are taken as independent.

    Parameters
    ----------
    contextless : of lens/contextless.nc
    share : of the number of blocks, rounded down, the depth on the way
    """
    depths = contextless[DEPTH].values
    where = {"reference": "bigram", "decoder": LOGIT}
    kl = (read(contextless, "kl", **where, **{DEPTH: d}) for d in (int(share * depths[-1]), depths[-1]))
    return independent_difference(*kl)


def nearer_when_extended(
    lens: xr.Dataset, extended: xr.Dataset, share: float, statistics: Mapping
) -> Estimate:
    """KL(final ‖ depth) with the last blocks part of the decoder, less that without them, nat; unit: prompts.

    Parameters
    ----------
    lens, extended : of lens/logit.nc and lens/extended.nc
    share : of the number of blocks, rounded down, the depth
    """
    means = [kl_by_depth(each) for each in (extended, lens)]
    depth = int(share * means[0].columns[-1])
    return difference_over_prompts(*(each[depth] for each in means), statistics)


def relation_after_tag(probes: xr.Dataset, interval: float) -> Estimate:
    """Depth at which a word's relation is gained less that of its part of speech, in shares of L.

    Parameters
    ----------
    probes : of syntax/probes.nc
    interval : coverage, e.g. 0.95, of the difference over resampled documents
    """

    def gained(variable: str, label: str) -> np.ndarray:
        return probes[variable].sel({TARGET: "input", LABEL: label}).values

    difference = gained("gain_centre", "relation") - gained("gain_centre", "tag")
    draws = gained("gain_centre_resampled", "relation") - gained("gain_centre_resampled", "tag")
    n = int(probes["n_documents"].sel({TARGET: "input", LABEL: "tag"}))
    low, high = map(float, widened(draws, n, interval, lost=0))
    return Estimate(float(difference), low, high, n).of(float(probes[DEPTH][-1]))


def next_token_depth(probes: xr.Dataset) -> Estimate:
    """Centre of the gain of a probe for the next token, as a share of L; unit: documents."""
    where = {TARGET: "next", LABEL: "token"}
    found = read(probes, "gain_centre", n=int(probes["n_documents"].sel(where)), **where)
    return found.of(float(probes[DEPTH][-1]))


def whole_depths(lens: xr.Dataset) -> xr.Dataset:
    """A text's own tokens at whole depths."""
    return of_text(at_whole_depths(lens))


def mean_over_prompts(values: np.ndarray, facts: np.ndarray, statistics: Mapping) -> Estimate:
    """Mean of values of prompts, its interval over their facts."""
    found = Bootstrap(**statistics).of("findings").estimate("mean", np.mean, values, clusters=facts)
    return read(found, "mean")


def difference_over_prompts(values: pd.Series, others: pd.Series, statistics: Mapping) -> Estimate:
    """Mean difference over the prompts that both have."""
    difference = (values - others.reindex(values.index)).dropna()
    if difference.empty:
        return Estimate(missing="no prompt that both can be asked")
    return mean_over_prompts(difference.to_numpy(), difference.index.get_level_values(FACT), statistics)
