"""Average restoration by category, with intervals; where the rule of exclusion is moved; who is left out."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr

from strata.names import CATEGORY, DEPTH, FACT, HEAD, NOISE, PROMPT, SAMPLE, SITE
from strata.stats.groups import named
from strata.stats.seeding import generator
from strata.trace.names import MIN_GAP, NOT_TRACED
from strata.trace.resampling import Samples, bounds
from strata.trace.restoration import (
    FINAL,
    PROBABILITY,
    SITES,
    SUBJECT,
    at_sites,
    check_trace,
    clean_values,
    depth_or_layer,
    included,
    noise_coords,
    normalise,
    taken_share,
)
from strata.trace.transition import MARGIN, crossing, transition_depth


def average_by_category(
    trace: xr.Dataset,
    *,
    min_gap: float,
    n_resamples: int,
    interval: float,
    seed: int,
    measure: str = PROBABILITY,
) -> xr.Dataset:
    """Average restoration of subject and final token, and transition depths, by category.

    Intervals are of a hierarchical bootstrap, studentised (`strata.stats.draws.studentised`): facts of a
    category are drawn with replacement, then the prompts of each, then the noise samples of each prompt.
    Every resample goes through the whole estimator, the rule of exclusion too. Noise levels share a
    resample, but for those of which a prompt lacks samples. A category's resamples are seeded by ``seed``
    and its name, so that another category's prompts change nothing. Means of fewer facts than
    `strata.stats.thresholds.LEAST_UNITS` have no interval (NaN).

    Parameters
    ----------
    trace : Dataset
        See `strata.trace.restoration.normalise`; with ``category``, ``fact``, ``subject_position`` and
        ``n_tokens`` (prompt).
    min_gap : float
        Share of the clean value that the noise must take away, in (0, 1].
    n_resamples : int
        Bootstrap resamples.
    interval : float
        Coverage of the intervals, e.g. 0.95.
    seed : int
        Of the bootstrap.
    measure : str
        A key of `strata.trace.restoration.MEASURES`.

    Returns
    -------
    Dataset
        By (category, noise): ``restoration``, ``restoration_low``, ``restoration_high`` (..., site,
        depth or layer), ``n_prompts`` and ``n_excluded``, neither of which counts a prompt without a
        value of the measure: one that names no set of completions, say; ``n_facts``, what the former ask.
        By (prompt, noise): ``included``, ``gap_share`` (lost share of the clean value),
        ``restoration_prompt`` (..., site, depth or layer).
        Of states also ``transition_mean``, ``transition_low``, ``transition_high`` (depths) and
        ``n_transition`` (prompts whose transition is defined) by (category, noise), and
        ``transition_depth``, ``transition_reason``, ``n_overtakings`` by (prompt, noise): windows of
        layers overlap, and have no depth of transition.
        Coordinates ``prompt_category`` and ``prompt_fact`` (prompt). Categories keep their order.

    Raises
    ------
    ValueError
        If a dimension is missing, a site of a prompt is NaN, or an argument is impossible.
    """
    check_trace(trace, measure, n_resamples, interval)
    axis = depth_or_layer(trace, measure)
    sites = at_sites(trace[measure], trace).transpose(PROMPT, NOISE, SAMPLE, SITE, axis)
    samples = Samples.of(trace, sites, measure)
    restoration = normalise(trace.assign({measure: sites}), min_gap, measure)
    restoration = restoration.reset_coords(drop=True).transpose(PROMPT, NOISE, SITE, axis)
    by_prompt = xr.Dataset(
        {
            "included": included(trace, min_gap, measure).reset_coords(drop=True),
            "gap_share": taken_share(trace, measure).mean(SAMPLE).reset_coords(drop=True),
            "restoration_prompt": restoration,
        }
    )
    averaged = [("restoration", "restoration", "restoration_prompt", lambda restored: restored)]
    if axis == DEPTH:
        by_prompt = by_prompt.assign(transition_depth(restoration).data_vars)
        depths = trace[DEPTH].values
        averaged.append(("transition", "transition_mean", "transition_depth", partial(_transition, depths)))
    measured = (clean_values(trace, measure) + xr.zeros_like(trace[PROMPT], float)).notnull()
    by_prompt = by_prompt.assign_coords(
        prompt_category=(PROMPT, trace[CATEGORY].values), prompt_fact=(PROMPT, trace[FACT].values)
    )

    categories = list(dict.fromkeys(trace[CATEGORY].values.tolist()))
    tables = []
    for category in categories:
        rows = np.flatnonzero(trace[CATEGORY].values == category)
        table = _category_means(by_prompt.isel({PROMPT: rows}), measured.isel({PROMPT: rows}))
        part, rng = samples.rows(rows), generator(seed, category)
        drawn = part.means([function for *_, function in averaged], min_gap, n_resamples, rng)
        for (stem, mean, of_prompt, _), means in zip(averaged, drawn, strict=True):
            found = by_prompt[of_prompt].values[rows]
            table = table.assign(bounds(stem, table[mean], found, part.facts, means, interval))
        tables.append(table)
    result = xr.concat(tables, dim=named(CATEGORY, categories), join="exact").merge(by_prompt, join="exact")
    result = result.assign_coords(noise_coords(trace))
    return result.assign_attrs(
        measure=measure, min_gap=min_gap, n_resamples=n_resamples, interval=interval, bootstrap_seed=seed
    )


def average_heads(trace: xr.Dataset, along: str = HEAD, **options) -> xr.Dataset:
    """`average_by_category` of single heads, or of groups of neurons, ``along`` them, on the same resamples.

    ``options`` are those of `average_by_category`; without what belongs to one prompt. What has none is
    returned as it is.
    """
    if NOT_TRACED in trace.attrs:
        return trace
    pieces = [trace.isel({along: piece}, drop=True).load() for piece in range(trace.sizes[along])]
    tables = [average_by_category(piece, **options).drop_dims(PROMPT) for piece in pieces]
    names = [name for name in tables[0].data_vars if SITE in tables[0][name].dims]
    return xr.concat(
        tables, named(along, trace[along].values), data_vars=names, join="exact", compat="equals"
    ).assign_attrs(tables[0].attrs)


def average_by_gap(trace: xr.Dataset, min_gaps: Sequence[float], **options) -> xr.Dataset:
    """`average_by_category` with the rule of exclusion loosened and tightened, along ``min_gap``.

    Every rule is tried on the same resamples. ``options`` are those of `average_by_category`.
    """
    tables = [average_by_category(trace, min_gap=gap, **options) for gap in min_gaps]
    depend_on_rule = [name for name in tables[0].data_vars if name != "gap_share"]
    joined = xr.concat(
        tables, dim=named(MIN_GAP, min_gaps), data_vars=depend_on_rule, join="exact", compat="equals"
    )
    joined.attrs.pop("min_gap")
    return joined


def left_out(averages: xr.Dataset) -> pd.DataFrame:
    """The prompts that the rule left out of the averages: prompt, category, noise, min_gap, gap_share.

    The share is NaN where a prompt has no sample at a noise level, or no value of the measure.

    ``averages`` is of `average_by_category` or `average_by_gap`.
    """
    if MIN_GAP not in averages.dims:
        averages = averages.expand_dims({MIN_GAP: [averages.attrs["min_gap"]]})
    table = averages[["included", "gap_share"]].to_dataframe(dim_order=[MIN_GAP, NOISE, PROMPT]).reset_index()
    table = table.rename(columns={"prompt_category": CATEGORY})[~table["included"]]
    return table[[PROMPT, CATEGORY, NOISE, MIN_GAP, "gap_share"]].reset_index(drop=True)


def _transition(depths: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Depths [draw, noise] of the transition, of restorations [draw, noise, site, depth]."""
    lead = restored[..., SITES.index(FINAL), :] - restored[..., SITES.index(SUBJECT), :]
    return crossing(lead, depths, MARGIN)


def _category_means(by_prompt: xr.Dataset, measured: xr.DataArray) -> xr.Dataset:
    keep = by_prompt["included"].transpose(PROMPT, NOISE)
    facts = by_prompt["prompt_fact"].values
    means = {
        "restoration": by_prompt["restoration_prompt"].mean(PROMPT),
        "n_prompts": keep.sum(PROMPT),
        "n_excluded": (~keep & measured).sum(PROMPT),
        "n_facts": (NOISE, [len(np.unique(facts[kept])) for kept in keep.values.T]),
    }
    if "transition_depth" in by_prompt:
        means |= {
            "transition_mean": by_prompt["transition_depth"].mean(PROMPT),
            "n_transition": by_prompt["transition_depth"].notnull().sum(PROMPT),
        }
    return xr.Dataset(means)
