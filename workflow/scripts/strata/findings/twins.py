"""A model whose every depth was trained to guess, less its twin, whose last depth alone was.

A reader of the logit lens (nostalgebraist 2020) asked whether such a model would lose what it hides. Twins
are of one recipe and read the same prompts: a statistic is the model's value less its twin's, prompt by
prompt, of the prompts that both complete.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from strata.findings.estimates import Estimate, independent_difference, read_mean
from strata.findings.lens import difference_over_prompts, kl_by_depth, whole_depths
from strata.lens.by_decoder import COPYING
from strata.lens.comparison import bits_of_target, prompt_means
from strata.lens.questions_of_output import TOP, settled_depth
from strata.names import CATEGORY, DEPTH, FACT, NOISE, PROMPT, TARGET, TARGET_ID, TOKEN


def kl_on_the_way(lens: xr.Dataset, twin: xr.Dataset, statistics: Mapping) -> Estimate:
    """Difference of KL(final ‖ depth), nat, mean over a prompt's tokens and depths 1 to L - 1.

    Parameters
    ----------
    lens, twin : of lens/logit.nc
    statistics : ``resamples``, ``interval`` and ``seed`` of the bootstrap
    """
    means = [kl_by_depth(each).iloc[:, 1:-1].mean(axis=1) for each in (lens, twin)]
    return difference_over_prompts(*means, statistics)


def input_rank(lens: xr.Dataset, twin: xr.Dataset, statistics: Mapping) -> Estimate:
    """Difference of log10(rank + 1) of the input token in its own readout, mean over depths 1 to L."""
    means = [input_rank_by_depth(each).iloc[:, 1:].mean(axis=1) for each in (lens, twin)]
    return difference_over_prompts(*means, statistics)


def copied_depth(lens: xr.Dataset, twin: xr.Dataset, statistics: Mapping) -> Estimate:
    """Difference of the depths from which on a copied word is among the ten top guesses, in shares of L."""
    depths = []
    for each in (lens, twin):
        there = copied_by_depth(each)
        holds = xr.DataArray(there.to_numpy(), dims=(PROMPT, DEPTH), coords={DEPTH: there.columns})
        depths.append(pd.Series(settled_depth(holds).values, there.index) / there.columns[-1])
    return difference_over_prompts(*depths, statistics)


def last_guess(lens: xr.Dataset, twin: xr.Dataset, statistics: Mapping) -> Estimate:
    """Difference of the bits that the last depth needs for the next token, mean over a prompt's tokens."""
    means = [prompt_means(bits_of_target(whole_depths(each))).iloc[:, -1] for each in (lens, twin)]
    return difference_over_prompts(*means, statistics)


def input_probed(probes: xr.Dataset, twin: xr.Dataset) -> Estimate:
    """Difference of how often a linear probe names a token by its state, mean over depths 1 to L - 1.

    Unit: documents. Each mean's ends are the means of those at its depths, and those of the difference as far
    from it as both together, squares added (Zou and Donner 2008): wide, for depths and twins that are read
    on the same text.

    Parameters
    ----------
    probes, twin : of lens/probes.nc
    """

    def on_the_way(data: xr.Dataset) -> Estimate:
        probe = data.sel({TARGET: "input"})
        depths = probe[DEPTH].values
        chosen = probe.isel({DEPTH: (depths >= 1) & (depths < depths[-1])})
        return read_mean(chosen, "accuracy", int(probe["n_documents"]))

    return independent_difference(on_the_way(probes), on_the_way(twin))


def handed_over(averages: xr.Dataset, twin: xr.Dataset, noise: str, statistics: Mapping) -> Estimate:
    """Difference of transition depths, in shares of L, over prompts of all categories.

    Parameters
    ----------
    averages, twin : of trace/by_category.nc
    """
    for each in (averages, twin):
        if noise not in each[NOISE].values:
            return Estimate(missing=f"no noise {noise} in the results")
    return difference_over_prompts(
        *(transitions_by_prompt(each, noise) for each in (averages, twin)), statistics
    )


def input_rank_by_depth(lens: xr.Dataset) -> pd.DataFrame:
    """log10(rank + 1) of the input token where it stands: rows as `prompt_means`, columns whole depths."""
    return prompt_means(np.log10(whole_depths(lens[["rank_of_input"]])["rank_of_input"] + 1.0))


def copied_by_depth(lens: xr.Dataset) -> pd.DataFrame:
    """Whether a copied word is among the ten top guesses, at the last token of each prompt of `copying`.

    Rows (category, fact, prompt), columns whole depths.
    """
    whole = whole_depths(lens[["rank_of_target"]])
    last = ~pd.Series(whole[PROMPT].values).duplicated(keep="last").to_numpy()
    copies = last & (whole[CATEGORY].values == COPYING) & (whole[TARGET_ID].values >= 0)
    chosen = whole.isel({TOKEN: np.flatnonzero(copies)})
    keys = [pd.Index(chosen[name].values, name=name) for name in (CATEGORY, FACT, PROMPT)]
    ranks = chosen["rank_of_target"].load()  # transposed before it is read, an empty choice fails in h5py
    ranks = ranks.transpose(TOKEN, DEPTH).values
    return pd.DataFrame(ranks < TOP, pd.MultiIndex.from_arrays(keys), whole[DEPTH].values)


def transitions_by_prompt(averages: xr.Dataset, noise: str) -> pd.Series:
    """Transition depths as shares of L, NaN where there is none: rows (category, fact, prompt)."""
    depths = averages["transition_depth"].sel({NOISE: noise})
    keys = {CATEGORY: f"{PROMPT}_{CATEGORY}", FACT: f"{PROMPT}_{FACT}", PROMPT: PROMPT}
    index = pd.MultiIndex.from_arrays([averages[at].values for at in keys.values()], names=list(keys))
    return pd.Series(depths.values / averages.sizes[DEPTH], index)
