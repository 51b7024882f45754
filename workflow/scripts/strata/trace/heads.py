"""Traces of single attention heads, labelled by layer and head."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import xarray as xr

from strata.model.architecture import Parts
from strata.names import HEAD, LAYER
from strata.progress import Progress, silent
from strata.stats.groups import named
from strata.trace.corruption import Prompt
from strata.trace.dataset import VARIABLES, Frame, as_dataset
from strata.trace.measures import LOGIT_DIFFERENCE, LOGP_TARGET
from strata.trace.names import NOT_TRACED
from strata.trace.sites import of_heads
from strata.trace.sweep import Trace, trace_prompts


def trace_heads(
    parts: Parts,
    table: pd.DataFrame,
    prompts: Sequence[Prompt],
    token_strings: Sequence[Sequence[str]],
    levels: Mapping[str, float],
    max_rows: int = 1024,
    progress: Progress = silent,
    frame: Frame | None = None,
) -> xr.Dataset:
    """Restore what one head makes in one layer, at the subject's tokens and the final one.

    Parameters
    ----------
    prompts, max_rows, progress
        See `strata.trace.sweep.trace_prompts`.
    table, token_strings, levels, frame
        See `strata.trace.dataset.as_dataset`.

    Returns
    -------
    Dataset
        As `strata.trace.dataset.as_dataset`, by layer and along ``head``; without the measures over many
        tokens. Without prompts it is empty, with an attribute that says so.
    """
    if not prompts:
        return xr.Dataset(attrs={NOT_TRACED: "single heads"})
    chosen = of_heads(parts.n_layers, parts.n_heads)
    traces = trace_prompts(parts, prompts, {HEAD: chosen}, max_rows, progress, everywhere=())[HEAD]
    return by_piece(traces, named(HEAD, range(parts.n_heads)), table, token_strings, levels, frame)


def by_piece(
    traces: Sequence[Trace],
    pieces: xr.DataArray,
    table: pd.DataFrame,
    token_strings: Sequence[Sequence[str]],
    levels: Mapping[str, float],
    frame: Frame | None = None,
) -> xr.Dataset:
    """Label traces whose sites are all ``pieces`` of each layer, layer after layer, along these.

    See `trace_heads`.
    """
    kept = [name for measure in (LOGP_TARGET, LOGIT_DIFFERENCE) for name in VARIABLES[measure]]
    each = []
    for piece in range(len(pieces)):
        own = [replace(trace, restored=trace.restored[:, :, piece :: len(pieces)]) for trace in traces]
        each.append(as_dataset(own, table, token_strings, levels, LAYER, frame)[kept])
    restored = ["p_target", "logit_difference"]
    return xr.concat(each, pieces, data_vars=restored, coords="minimal", compat="equals", join="exact")
