"""Traces of single attention heads, labelled by layer and head."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import xarray as xr

from strata.model.architecture import Parts
from strata.names import HEAD
from strata.progress import Progress, silent
from strata.stats.groups import named
from strata.trace.corruption import Prompt
from strata.trace.dataset import VARIABLES, as_dataset
from strata.trace.measures import LOGIT_DIFFERENCE, LOGP_TARGET
from strata.trace.sites import of_heads
from strata.trace.sweep import trace_prompts


def trace_heads(
    parts: Parts,
    prompts: Sequence[Prompt],
    table: pd.DataFrame,
    token_strings: Sequence[Sequence[str]],
    levels: Mapping[str, float],
    max_rows: int = 1024,
    progress: Progress = silent,
) -> xr.Dataset:
    """Restore what one head makes in one layer, at the subject's tokens and the final one.

    Parameters
    ----------
    prompts, max_rows, progress
        See `strata.trace.sweep.trace_prompts`.
    table, token_strings, levels
        See `strata.trace.dataset.as_dataset`.

    Returns
    -------
    Dataset
        As `strata.trace.dataset.as_dataset`, by layer and along ``head``; without the measures over many
        tokens.
    """
    chosen, n_heads = of_heads(parts.n_layers, parts.n_heads), parts.n_heads
    traces = trace_prompts(parts, prompts, {HEAD: chosen}, max_rows, progress, everywhere=())[HEAD]
    kept = [name for measure in (LOGP_TARGET, LOGIT_DIFFERENCE) for name in VARIABLES[measure]]
    heads = []
    for head in range(n_heads):
        own = [replace(trace, restored=trace.restored[:, :, head::n_heads]) for trace in traces]
        heads.append(as_dataset(own, table, token_strings, levels, chosen.dim)[kept])
    dim, restored = named(HEAD, range(n_heads)), ["p_target", "logit_difference"]
    return xr.concat(heads, dim, data_vars=restored, coords="minimal", compat="equals", join="exact")
