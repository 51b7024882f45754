"""Traces of many prompts, some at a time, so that memory does not grow with their number."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import pandas as pd
import xarray as xr

from strata.model.architecture import Parts
from strata.progress import Progress, nested, silent
from strata.trace.corruption import Prompt
from strata.trace.dataset import Frame, as_dataset
from strata.trace.sites import Restoration
from strata.trace.sweep import trace_prompts
from strata.trace.whole_target import follow_targets


def trace_many(
    parts: Parts,
    prompts: Sequence[Prompt],
    restorations: Mapping[str, Restoration],
    max_rows: int,
    progress: Progress = silent,
    everywhere: Collection[str] | None = None,
    *,
    table: pd.DataFrame,
    token_strings: Sequence[Sequence[str]],
    levels: Mapping[str, float],
    whole: bool = False,
    frame: Frame | None = None,
) -> Iterator[dict[str, xr.Dataset]]:
    """Trace prompts and label their traces, those of the first prompts, then those of the next.

    Parameters
    ----------
    prompts, restorations, max_rows, progress, everywhere
        See `strata.trace.sweep.trace_prompts`.
    table, token_strings, levels
        See `strata.trace.dataset.as_dataset`.
    whole : bool
        Whether the whole targets are followed (`strata.trace.whole_target`).
    frame : Frame, optional
        Of more prompts than these.

    Returns
    -------
    Those along ``prompt``, after each other, of the datasets, by the restorations' names.
    """
    frame = frame or Frame.of([prompt.labels for prompt in prompts], token_strings, levels)
    size = frame.together(max(len(chosen.layers) for chosen in restorations.values()))
    cut = [slice(start, start + size) for start in range(0, len(prompts), size)]
    progress, inside = nested(progress, cut)
    for some in progress(cut, "prompts, some at a time"):
        own = prompts[some]
        traces = trace_prompts(parts, own, restorations, max_rows, inside, everywhere)
        if whole:
            traces = follow_targets(parts, own, restorations, traces, max_rows, inside)
        yield {
            what: as_dataset(traces[what], table.iloc[some], token_strings[some], levels, chosen.dim, frame)
            for what, chosen in restorations.items()
        }
