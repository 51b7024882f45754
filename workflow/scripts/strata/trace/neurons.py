"""Traces of groups of MLP neurons by size, labelled by layer and group."""

from collections.abc import Mapping, Sequence

import pandas as pd
import xarray as xr

from strata.model.architecture import Parts
from strata.model.slices import written_sizes
from strata.names import NEURON
from strata.progress import Progress, silent
from strata.stats.groups import named
from strata.trace.corruption import Prompt
from strata.trace.dataset import Frame
from strata.trace.heads import by_piece
from strata.trace.names import NEURON_GROUP, NOT_TRACED, RANDOM
from strata.trace.neuron_groups import NeuronGroups
from strata.trace.sites import of_neurons
from strata.trace.sweep import trace_prompts


def trace_neurons(
    parts: Parts,
    table: pd.DataFrame,
    prompts: Sequence[Prompt],
    token_strings: Sequence[Sequence[str]],
    n_groups: int,
    seed: int,
    levels: Mapping[str, float],
    max_rows: int = 1024,
    progress: Progress = silent,
    frame: Frame | None = None,
) -> xr.Dataset:
    """Restore what a group of an MLP's neurons makes in one layer, at the subject's tokens and the final one.

    Parameters
    ----------
    prompts, max_rows, progress
        See `strata.trace.sweep.trace_prompts`.
    table, token_strings, levels, frame
        See `strata.trace.dataset.as_dataset`.
    n_groups, seed
        See `strata.trace.neuron_groups.NeuronGroups`.

    Returns
    -------
    Dataset
        As `strata.trace.heads.trace_heads`, along ``neuron_group``.
    """
    if not prompts:
        return xr.Dataset(attrs={NOT_TRACED: "groups of neurons"})
    sizes = [written_sizes(parts, layer) for layer in range(parts.n_layers)]
    chosen = of_neurons(NeuronGroups(sizes, n_groups, seed))
    traces = trace_prompts(parts, prompts, {NEURON: chosen}, max_rows, progress, everywhere=())[NEURON]
    groups = named(NEURON_GROUP, [*(str(1 + number) for number in range(n_groups)), RANDOM])
    return by_piece(traces, groups, table, token_strings, levels, frame)
