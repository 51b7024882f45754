"""How an answer passes through a subject of several tokens."""

import numpy as np
import xarray as xr

from strata.names import NOISE, PROMPT, SAMPLE
from strata.stats.defined import mean_of_defined
from strata.stats.groups import named
from strata.stats.seeding import generator
from strata.trace.names import SUBJECT_LENGTH, SUBJECT_POSITION, SUBJECT_START, SUBJECT_TOKEN
from strata.trace.resampling import Samples, bounds
from strata.trace.restoration import (
    PROBABILITY,
    at_position,
    check_trace,
    depth_or_layer,
    included,
    noise_coords,
)


def average_subject_tokens(
    trace: xr.Dataset,
    *,
    min_gap: float,
    n_resamples: int,
    interval: float,
    seed: int,
    measure: str = PROBABILITY,
) -> xr.Dataset:
    """Average restoration of every token of subjects of one token, of two, ..., by depth or layer.

    It shows how an answer passes through a subject, from its first tokens into its last, where all
    of them are noised. Prompts of all categories with as many subject tokens are averaged together.
    Parameters and intervals are those of `strata.trace.averages.average_by_category`.

    Returns
    -------
    Dataset
        By (subject_length, noise): ``restoration``, ``restoration_low``, ``restoration_high`` (...,
        subject_token, depth or layer), subject_token counted from 0, NaN beyond the length;
        ``n_prompts``, ``n_excluded``.

    Raises
    ------
    ValueError
        As `average_by_category`, or if only the last token of a subject was noised and restored.
    """
    check_trace(trace, measure, n_resamples, interval)
    axis = depth_or_layer(trace, measure)
    lengths = (trace[SUBJECT_POSITION] - trace[SUBJECT_START] + 1).values
    token = named(SUBJECT_TOKEN, range(lengths.max()))
    # Beyond its length a shorter subject stands at its last token, until that is masked below.
    position = np.minimum(trace[SUBJECT_START] + token, trace[SUBJECT_POSITION])
    tokens = at_position(trace[measure], position)
    samples = Samples.of(trace, tokens.transpose(PROMPT, NOISE, SAMPLE, SUBJECT_TOKEN, axis), measure)
    keep = included(trace, min_gap, measure).transpose(PROMPT, NOISE).values

    dims = (NOISE, SUBJECT_TOKEN, axis)
    coords = {NOISE: trace[NOISE].values, SUBJECT_TOKEN: token.values, axis: trace[axis].values}
    tables = []
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        part, rng = samples.rows(rows), generator(seed, f"{length} tokens")
        restored = part.restored(min_gap)
        table = xr.Dataset(
            {
                "restoration": (dims, mean_of_defined(restored, 0)),
                "n_prompts": (NOISE, keep[rows].sum(0)),
                "n_excluded": (NOISE, (~keep[rows]).sum(0)),
            },
            coords,
        )
        [drawn] = part.means([lambda each: each], min_gap, n_resamples, rng)
        table = table.assign(
            bounds("restoration", table["restoration"], restored, part.facts, drawn, interval)
        )
        curves = {name: curve.where(token < length) for name, curve in table.items() if axis in curve.dims}
        tables.append(table.assign(curves))
    return (
        xr.concat(tables, dim=named(SUBJECT_LENGTH, np.unique(lengths)), join="exact")
        .assign_coords(noise_coords(trace))
        .assign_attrs(
            measure=measure, min_gap=min_gap, n_resamples=n_resamples, interval=interval, bootstrap_seed=seed
        )
    )
