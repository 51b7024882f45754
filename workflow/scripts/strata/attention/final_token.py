"""Where the final token of every prompt attends, from activations alone.

How its attention is shared between the first token, the subject and itself; its entropy; where in depth the
first token takes attention over and lets it go.
"""

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import entr

from strata.attention.names import FIRST, HEAD_CHOICES, HEADS, SITES
from strata.attention.onset import onset_and_release
from strata.attention.precision import as_float32
from strata.attention.subject import peaks_against_transition, subject_peaks
from strata.names import CATEGORY, FACT, HEAD, LAYER, PROMPT, SITE, TOKEN
from strata.stats.bootstrap import Bootstrap
from strata.stats.groups import masks_by_category

PIECE = 64
"""Prompts whose patterns are in memory at once."""


def analyse(
    activations: xr.Dataset,
    prompts: pd.DataFrame,
    transition: xr.DataArray,
    *,
    resamples: int,
    interval: float,
    seed: int,
) -> xr.Dataset:
    """Everything about the final token's attention.

    Parameters
    ----------
    activations, prompts
        See `final_token`.
    transition : DataArray (prompt, noise)
        Transition depths, NaN where undefined; a prompt that is missing counts as undefined.
    resamples, interval, seed
        Of the bootstrap over prompts; ``interval`` is a coverage, e.g. 0.95.

    Returns
    -------
    Dataset, float32
        What `final_token` (names ending in ``_prompt``), `average`, `subject_peaks` and
        `peaks_against_transition` return.
    """
    bootstrap = Bootstrap(resamples, interval, seed)
    by_prompt = final_token(activations, prompts)
    peaks = subject_peaks(by_prompt)
    parts = [
        average(by_prompt, bootstrap),
        by_prompt.rename({name: f"{name}_prompt" for name in by_prompt.data_vars}),
        peaks,
        peaks_against_transition(peaks, transition, bootstrap),
    ]
    everything = xr.merge(parts, join="exact", compat="no_conflicts")
    return as_float32(everything).assign_attrs(resamples=resamples, interval=interval, seed=seed)


def final_token(activations: xr.Dataset, prompts: pd.DataFrame) -> xr.Dataset:
    """Where the final token of every prompt that is accepted and has a subject attends.

    Parameters
    ----------
    activations : Dataset
        ``attention_last`` (layer, head, token) with ``prompt`` (token): how much each prompt's last
        position attends to each of its tokens, which stand in a row.
    prompts : DataFrame
        As `strata.io.read_prompts` reads it.

    Returns
    -------
    Dataset
        ``attention`` (prompt, site, layer, head): share of the final token's attention on the sites named
        by `SITES`; a subject that begins a prompt is the first token too. ``even`` (prompt, site): that
        share, if attention were spread evenly; short prompts have a large one. ``entropy`` (prompt, layer,
        head) in nats, ``entropy_relative`` as a share of the logarithm of the number of positions (1:
        spread evenly). Coordinates ``prompt_category``, ``prompt_fact`` and ``n_positions``
        (prompt).

    Raises
    ------
    ValueError
        If no prompt is accepted and has a subject.
    KeyError
        If such a prompt has no tokens.
    """
    chosen = prompts[prompts["accepted"] & (prompts["subject_position"] >= 0)]
    if chosen.empty:
        raise ValueError("no prompt is accepted and has a subject")
    patterns = activations["attention_last"].transpose(LAYER, HEAD, TOKEN)
    tokens = pd.Series(range(patterns.sizes[TOKEN]), index=activations[PROMPT].values).groupby(level=0)
    start, end = tokens.min(), tokens.max() + 1
    shape = (patterns.sizes[LAYER], patterns.sizes[HEAD])
    shares = np.empty((len(chosen), len(SITES), *shape))
    even, entropies = np.empty((len(chosen), len(SITES))), np.empty((len(chosen), *shape))
    for some in range(0, len(chosen), PIECE):
        piece = chosen.iloc[some : some + PIECE]
        first = start.loc[piece["id"]].min()
        read = patterns.isel({TOKEN: slice(first, end.loc[piece["id"]].max())}).values.astype(float)
        for place, row in enumerate(piece.itertuples(), some):
            pattern = read[..., start.loc[row.id] - first : end.loc[row.id] - first]
            subject = pattern[..., row.subject_start : row.subject_position + 1]
            shares[place] = pattern[..., 0], subject.sum(-1), subject.max(-1), pattern[..., -1]
            n_subject = row.subject_position + 1 - row.subject_start
            even[place] = np.array([1, n_subject, 1, 1]) / pattern.shape[-1]
            entropies[place] = entr(pattern).sum(-1)
    entropy = xr.DataArray(entropies, dims=(PROMPT, LAYER, HEAD))
    n_positions = xr.DataArray((end - start).loc[chosen["id"]].to_numpy(), dims=PROMPT)
    return xr.Dataset(
        {
            "attention": ((PROMPT, SITE, LAYER, HEAD), shares),
            "even": ((PROMPT, SITE), even),
            "entropy": entropy,
            "entropy_relative": entropy / np.log(n_positions),
        },
        coords={
            PROMPT: chosen["id"].to_numpy(object),
            "prompt_category": (PROMPT, chosen[CATEGORY].to_numpy(object)),
            "prompt_fact": (PROMPT, chosen[FACT].to_numpy(object)),
            "n_positions": n_positions,
            SITE: list(SITES),
            LAYER: patterns[LAYER].values,
            HEAD: patterns[HEAD].values,
        },
    )


def average(by_prompt: xr.Dataset, bootstrap: Bootstrap) -> xr.Dataset:
    """Means over prompts by category, and over all, with bootstrap intervals.

    Parameters
    ----------
    by_prompt : Dataset
        As `final_token` returns it.

    Returns
    -------
    Dataset
        Each x with ``x_low``, ``x_high`` (NaN where prompts ask too few facts) and ``x_n`` (category), the
        number of prompts. ``attention`` (category, site, layer), the mean over heads;
        ``attention_by_head`` (category, site, layer, head); ``entropy`` and ``entropy_relative``
        (category, layer, head). ``onset`` and ``release`` (category, heads) of attention on the first
        token beyond its share if attention were spread evenly, see `strata.attention.onset`: of the mean
        over a layer's heads, and of whichever head of a layer attends to it the most. (A head's number
        means nothing from layer to layer.)
    """
    groups, facts = masks_by_category(by_prompt["prompt_category"].values), by_prompt["prompt_fact"].values
    attention, first = by_prompt["attention"], by_prompt["attention"].sel({SITE: FIRST}, drop=True)
    averages = [
        _means("attention", attention.mean(HEAD), groups, bootstrap),
        _means("attention_by_head", attention, groups, bootstrap),
        _means("entropy", by_prompt["entropy"], groups, bootstrap),
        _means("entropy_relative", by_prompt["entropy_relative"], groups, bootstrap),
    ]
    # In a prompt of four tokens the first has a quarter of attention that is spread evenly.
    beyond_even = (
        (first - by_prompt["even"].sel({SITE: FIRST}, drop=True)).transpose(LAYER, HEAD, PROMPT).values
    )
    for end, name in enumerate(("onset", "release")):

        def statistic(values: np.ndarray, axis: int, end: int = end) -> np.ndarray:
            share = values.mean(axis)  # (layer, head, ...)
            return np.stack([onset_and_release(s)[end] for s in (share.mean(1), share.max(1))])

        averages.append(bootstrap.by_category(name, statistic, beyond_even, groups, (HEADS,), facts))
    labels = {name: by_prompt[name] for name in (SITE, LAYER, HEAD)} | {HEADS: list(HEAD_CHOICES)}
    return xr.merge(averages, join="exact").assign_coords(labels)


def _means(
    name: str, values: xr.DataArray, groups: dict[str, np.ndarray], bootstrap: Bootstrap
) -> xr.Dataset:
    values, facts = values.transpose(..., PROMPT), values["prompt_fact"].values
    return bootstrap.by_category(name, np.mean, values.values, groups, values.dims[:-1], facts)
