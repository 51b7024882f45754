"""The figure of demanded last words (`strata.lens.questions_of_endings`)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from strata.figures.curves import draw_curve, marks, set_depth_ticks
from strata.figures.lens import NORMS
from strata.figures.style import ASIDE_COLOUR, DIVERGING, new_figure, new_notice
from strata.lens.names import DECODER, DEMAND, FROM_END, PLACE, WORD, WORDS
from strata.names import ALL, DEPTH

WORD_COLOURS = dict(zip(WORDS, ("#0072B2", "#E69F00"), strict=True))
DEMAND_COLOURS = ("#009E73", "#CC79A7")
LINES = {"way": {"linestyle": "-", "marker": "o"}, "end": {"linestyle": ":", "marker": "^"}}
TOLD = {"way": "on the way", "end": "at the last token"}
Looks = Mapping[tuple[str, str], Mapping[str, str]]


def draw_endings(questions: xr.Dataset) -> Figure:
    """Demanded last words against the other words of their pairs, by depth, a column for each decoder.

    Above, the ranks of both; in the middle, how much more probable the demanded one is, where one word is
    named and where both are; below, the same by the number of tokens before the last, of ways that half of the
    pairs or more have.

    Parameters
    ----------
    questions : Dataset
        As `strata.lens.questions.ask` returns it.
    """
    if "ending_logprob" not in questions:
        return new_notice("No text that demands its last word is accepted on this model.")
    questions = questions.load()
    decoders, demands = questions[DECODER].values, [d for d in questions[DEMAND].values if d != ALL]
    words = {(word, place): WORD_COLOURS[word] for word in WORDS for place in LINES}
    named = {(d, p): colour for d, colour in zip(demands, DEMAND_COLOURS, strict=True) for p in LINES}
    ranks, changes = ({key: {"color": c, **LINES[key[1]]} for key, c in of.items()} for of in (words, named))

    figure = new_figure(max(9, 2.5 + 2.8 * len(decoders)), 10)
    panels = figure.subplots(3, len(decoders), squeeze=False, sharex=True, sharey="row")
    n_pairs = questions["ending_from_end_n"].max(DECODER)
    shown = questions["ending_from_end"].sel({FROM_END: n_pairs >= n_pairs.max() / 2})
    scale = Normalize(-float(abs(shown).max()), float(abs(shown).max()))
    for column, decoder in zip(panels.T, decoders, strict=True):
        at = questions.sel({DECODER: decoder})
        for (word, place), look in ranks.items():
            _draw(column[0], at.sel({WORD: word, PLACE: place, DEMAND: ALL}), "ending_log_rank", look)
        for (demand, place), look in changes.items():
            _draw(column[1], at.sel({PLACE: place, DEMAND: demand}), "ending_logprob_change", look)
        column[1].axhline(0, color=ASIDE_COLOUR, lw=0.8)
        _draw_by_token(column[2], shown.sel({DECODER: decoder}), scale)
        column[0].set_title(decoder, parse_math=False)
        set_depth_ticks(column[2], questions[DEPTH].values)
    panels[0, 0].set_ylabel("log10(rank + 1)")
    panels[1, 0].set_ylabel("log-probability of the demanded word\nless the other's [nat]")
    panels[2, 0].set_ylabel("tokens before the last")
    bar = figure.colorbar(ScalarMappable(scale, DIVERGING), ax=panels[2], label="the same, all pairs [nat]")
    bar.outline.set_visible(False)
    counts = questions["ending_logprob_change_n"].max(DECODER).to_series()
    _name(panels[0, -1], {f"{word} word, {TOLD[place]}": look for (word, place), look in ranks.items()})
    _name(panels[1, -1], {f"{d} ({counts[d]}), {TOLD[p]}": look for (d, p), look in changes.items()})
    figure.supxlabel(
        f"{NORMS[questions.attrs['norm']]}; mean over {counts[ALL]} pairs of texts, bands: "
        f"{questions.attrs['interval']:.0%} bootstrap intervals over pairs",
        fontsize="small",
    )
    return figure


def _draw(axes: Axes, at: xr.Dataset, name: str, look: Mapping[str, str]) -> None:
    index = at[DEPTH].values
    mean, low, high = (pd.Series(at[name + end].values, index) for end in ("", "_low", "_high"))
    draw_curve(axes, mean, low, high, markevery=marks(index), **look)


def _draw_by_token(axes: Axes, change: xr.DataArray, scale: Normalize) -> None:
    """``change`` (from the end, depth) as tiles, the last token on top."""
    depths, before = change[DEPTH].values, change[FROM_END].values
    axes.pcolormesh(depths, before, change.transpose(FROM_END, DEPTH), norm=scale, cmap=DIVERGING)
    axes.set_ylim(before[-1] + 0.5, -0.5)
    axes.set_yticks(before)
    axes.grid(False)


def _name(axes: Axes, looks: Mapping[str, Mapping[str, str]]) -> None:
    """A legend at the right of a row's last panel."""
    handles = [Line2D([], [], **look, ms=4, label=label) for label, look in looks.items()]
    axes.legend(handles=handles, frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
