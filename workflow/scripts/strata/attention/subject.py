"""Whether the subject is looked at in the layer where causal traces say that its answer is handed over."""

import numpy as np
import xarray as xr

from strata.attention.names import BEST, HEAD_CHOICES, HEADS, SUBJECT
from strata.names import CATEGORY, HEAD, LAYER, NOISE, PROMPT, SITE
from strata.stats.bootstrap import Bootstrap
from strata.stats.groups import each, masks_by_category, named
from strata.stats.many_tests import with_adjusted
from strata.stats.ranks import rank_correlation


def subject_peaks(by_prompt: xr.Dataset) -> xr.Dataset:
    """The layer in which the final token attends the most to the subject.

    Parameters
    ----------
    by_prompt : Dataset
        As `strata.attention.final_token.final_token` returns it.

    Returns
    -------
    Dataset
        ``peak_layer`` (heads, prompt), the first of them where several tie, and ``peak_share``, the
        attention there: of the mean over a layer's heads, and of the best head of all; ``peak_head``
        (prompt), which head of its layer that is.
    """
    subject = by_prompt["attention"].sel({SITE: SUBJECT}, drop=True)
    by_layer = xr.concat([subject.mean(HEAD), subject.max(HEAD)], dim=named(HEADS, HEAD_CHOICES))
    layer = by_layer.idxmax(LAYER)
    best = subject.sel({LAYER: layer.sel({HEADS: BEST}, drop=True)})
    return xr.Dataset(
        {"peak_layer": layer, "peak_share": by_layer.max(LAYER), "peak_head": best.idxmax(HEAD)}
    ).drop_vars(LAYER, errors="ignore")


def peaks_against_transition(peaks: xr.Dataset, transition: xr.DataArray, bootstrap: Bootstrap) -> xr.Dataset:
    """Does the subject's peak lie deeper in prompts whose answer is handed over deeper?

    Block l reads the states at depth l, so a layer and a depth of the same number belong together.

    Parameters
    ----------
    peaks : Dataset
        As `subject_peaks` returns it.
    transition : DataArray (prompt, noise)
        In depths, NaN where undefined; a prompt that is missing counts as undefined.

    Returns
    -------
    Dataset
        By (heads, category, noise): ``rho``, Spearman's rank correlation of ``peak_layer`` and transition
        depth; ``rho_low`` and ``rho_high``, percentiles of a bootstrap over what prompts ask;
        ``rho_p``, two-sided, of what prompts ask by their mean ranks, and ``rho_p_adjusted`` for all of them;
        ``rho_n`` prompts with a transition. NaN for fewer than three prompts or where one side is
        constant; the interval also where one side is nearly so, and constant in more resamples than lie
        outside of the interval. Also ``transition_depth`` (prompt, noise).
    """
    groups, facts = masks_by_category(peaks["prompt_category"].values), peaks["prompt_fact"].values
    depths = transition.reindex({PROMPT: peaks[PROMPT].values}).transpose(PROMPT, NOISE)

    def correlation(heads: str, category: str, noise: str) -> xr.Dataset:
        x, y = peaks["peak_layer"].sel({HEADS: heads}).values, depths.sel({NOISE: noise}).values
        kept = groups[category] & np.isfinite(y)
        return rank_correlation("rho", x[kept], y[kept], bootstrap, clusters=facts[kept])

    def by_noise(heads: str, category: str) -> xr.Dataset:
        return each(NOISE, depths[NOISE].values, lambda noise: correlation(heads, category, noise))

    def by_category(heads: str) -> xr.Dataset:
        return each(CATEGORY, groups, lambda category: by_noise(heads, category))

    return with_adjusted(each(HEADS, peaks[HEADS].values, by_category), "rho_p").assign(
        transition_depth=depths.drop_vars(["prompt_category", "prompt_fact"], errors="ignore")
    )
