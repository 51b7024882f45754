"""Traces of all prompts, or of a share of them: groups of prompts, which are the same in both.

What goes through a model together decides the last digits of what comes out. Groups are cut from all prompts
before shares are, so that no digit depends on how many shares there are, or on their order.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr

from strata.model.architecture import Parts
from strata.model.attribution import attribute
from strata.names import CATEGORY, PROMPT
from strata.pieces import Pieces
from strata.progress import Progress, silent
from strata.share import ALL, GROUP, Share
from strata.trace.corruption import REPLACED, Prompt, Subjects, corrupt_as, level_names
from strata.trace.dataset import Frame
from strata.trace.heads import trace_heads
from strata.trace.many import trace_many
from strata.trace.neurons import trace_neurons
from strata.trace.sites import Restoration


@dataclass(frozen=True)
class Every:
    """All prompts that are traced, of which a share is: noise, subjects put in others' places, and room are
    those of all.

    Parameters
    ----------
    made : how they are corrupted, see `strata.trace.corruption.corrupt_as`
    table, ids : rows of ``prompts.tsv`` with a subject and a target, and their tokens (prompt, position)
    strings : spells tokens
    max_rows, progress : see `strata.trace.sweep.trace_prompts`
    only : the prompts to trace, by columns of the table: their values, or None for any. Where there is no
        such prompt, as a model completes none: the first one, since a trace is of one at least.
    """

    parts: Parts
    made: Mapping
    table: pd.DataFrame
    ids: Sequence[Sequence[int]]
    strings: Callable[[Sequence[int]], list[str]]
    share: Share = ALL
    max_rows: int = 1024
    progress: Progress = silent
    only: Mapping[str, Collection[str] | None] = field(default_factory=dict)

    @cached_property
    def _chosen(self) -> list[int]:
        asked = np.ones(len(self.table), bool)
        for column, values in self.only.items():
            if values is not None:
                asked &= self.table[column].isin(values)
        return np.flatnonzero(asked).tolist() or [0]

    def _first(self, n: int) -> list[int]:
        """The first ``n`` prompts to trace of each category."""
        chosen = self.table.iloc[self._chosen]
        return np.array(self._chosen)[chosen.groupby(CATEGORY).cumcount() < n].tolist()

    def _frame(self, rows: Sequence[int]) -> Frame:
        """What prompts have room in, told without corrupting any."""
        noises, subjects, most = level_names(**self.made["noise"]), Subjects(self.table, self.ids), 0
        if self.made["replacements"]:
            most = min(self.made["replacements"], max(map(subjects.number, rows), default=0))
        n_samples = max(self.made["samples"] if noises else 0, most)
        width = max((len(self.ids[row]) for row in rows), default=0)
        return Frame([*noises, REPLACED] if most else noises, n_samples, width)

    def _corrupted(self, rows: Sequence[int]) -> tuple[list[Prompt], dict]:
        """Some prompts, corrupted, with their rows of the table and so on, as those who trace take them."""
        prompts, levels = corrupt_as(self.made, self.parts, self.table, self.ids, rows)
        strings = [self.strings(self.ids[row]) for row in rows]
        return prompts, {"table": self.table.iloc[rows], "token_strings": strings, "levels": levels}

    def restored(
        self,
        restorations: Mapping[str, Restoration],
        everywhere: Mapping | None = None,
        whole: bool = False,
    ) -> Pieces:
        """Everything restored, see `strata.trace.many.trace_many`.

        ``everywhere``: noise levels at which the tokens between subject and final token are traced too, and
        ``prompts`` of each category, the first, of which they are; None: all.
        """
        levels, between = None, set(self._chosen)
        if everywhere is not None:
            levels = level_names(everywhere["absolute"], everywhere["relative"])
            between = set(self._first(everywhere["prompts"] or len(self.table)))
        frame = self._frame(self._chosen)
        size = frame.together(max(len(chosen.layers) for chosen in restorations.values()))
        rows = [self._chosen[place] for place in self.share.rows(len(self._chosen), size)]

        def each() -> Iterator[dict[str, xr.Dataset]]:
            prompts, labels = self._corrupted(rows)
            prompts = [
                prompt if row in between else replace(prompt, ends_alone=True)
                for row, prompt in zip(rows, prompts, strict=True)
            ]
            how = (restorations, self.max_rows, self.progress, levels)
            yield from trace_many(self.parts, prompts, *how, **labels, whole=whole, frame=frame)

        return Pieces(list(restorations), PROMPT, len(rows), each())

    def heads(self, n: int) -> Pieces:
        """Single heads of the first ``n`` prompts of each category, see `strata.trace.heads.trace_heads`."""
        return self._of_pieces("heads", n, self.parts.n_heads, trace_heads)

    def neurons(self, n: int, n_groups: int) -> Pieces:
        """Groups of neurons, likewise, see `strata.trace.neurons.trace_neurons`."""
        how = {"n_groups": n_groups, "seed": self.made["seed"]}
        return self._of_pieces("neurons", n, n_groups + 1, trace_neurons, **how)

    def _of_pieces(self, name: str, n: int, n_pieces: int, trace: Callable, **how: int) -> Pieces:
        chosen = self._first(n)
        frame = self._frame(chosen)
        size = frame.together(self.parts.n_layers * n_pieces) if chosen else 1
        rows = [chosen[place] for place in self.share.rows(len(chosen), size)]
        cut = [rows[start : start + size] for start in range(0, len(rows), size)]

        def each() -> Iterator[dict[str, xr.Dataset]]:
            # Of no prompt too: that says so.
            for some in self.progress(cut, f"{name}, some prompts at a time") if chosen else [[]]:
                prompts, labels = self._corrupted(some)
                how_many = {"max_rows": self.max_rows, "frame": frame}
                yield {name: trace(self.parts, prompts=prompts, **labels, **how, **how_many)}

        return Pieces([name], PROMPT, len(rows), each())

    def attribution(self) -> Pieces:
        """What every part adds to the answer's logit, see `strata.model.attribution.attribute`."""
        rows = [self._chosen[place] for place in self.share.rows(len(self._chosen), GROUP)]
        cut = [rows[start : start + GROUP] for start in range(0, len(rows), GROUP)]

        def each() -> Iterator[dict[str, xr.Dataset]]:
            for some in self.progress(cut, "attribution, some prompts at a time"):
                ids = [self.ids[row] for row in some]
                yield {"attribution": attribute(self.parts, ids, self.table.iloc[some])}

        return Pieces(["attribution"], PROMPT, len(rows), each())
