"""The figure of demanded last words (`strata.lens.questions_of_endings`)."""

from collections.abc import Mapping

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from strata.figures.curves import draw_curve, marks, set_depth_ticks
from strata.figures.lens import NORMS
from strata.figures.style import ASIDE_COLOUR, DIVERGING, PALETTE, new_figure, new_notice
from strata.lens.names import DECODER, DEMAND, FROM_END, PLACE, WORD, WORDS
from strata.names import ALL, DEPTH

WORD_COLOURS = dict(zip(WORDS, PALETTE[:2], strict=True))
DEMAND_COLOURS = PALETTE[2:4]
LINES = {"way": {"linestyle": "-", "marker": "o"}, "end": {"linestyle": ":", "marker": "^"}}
TOLD = {"way": "on the way", "end": "at the last token"}
Look = Mapping[str, str]


def draw_endings(questions: xr.Dataset) -> Figure:
    """Demanded last words against the other words of their pairs, by depth, a column for each decoder.

    Above, the ranks of both; then how much more probable the demanded one is, where one word is named and
    where both are, on the way and at the last token; below, the same by the number of tokens before the last,
    as far back as half of the pairs go.

    Parameters
    ----------
    questions : Dataset
        As `strata.lens.questions.ask` returns it.
    """
    if "ending_logprob" not in questions:
        return new_notice("No text that demands its last word is accepted on this model.")
    questions = questions.load()
    decoders, counts = (
        questions[DECODER].values,
        questions["ending_logprob_change_n"].max(DECODER).to_series(),
    )
    words = {
        (word, place): {"color": WORD_COLOURS[word], **LINES[place]} for word in WORDS for place in LINES
    }
    demands = dict(zip((demand for demand in counts.index if demand != ALL), DEMAND_COLOURS, strict=True))
    figure = new_figure(max(9, 2 + 2.8 * len(decoders)), 12)
    panels = figure.subplots(4, len(decoders), squeeze=False, sharex=True, sharey="row")
    n_pairs = questions["ending_from_end_n"].max(DECODER)
    # The last token itself, in the row above, would leave no colour to the others.
    shown = questions["ending_from_end"].sel(
        {FROM_END: (n_pairs >= counts[ALL] / 2) & (n_pairs[FROM_END] > 0)}
    )
    scale = Normalize(-float(abs(shown).max()), float(abs(shown).max()))
    for column, decoder in zip(panels.T, decoders, strict=True):
        at = questions.sel({DECODER: decoder})
        for (word, place), look in words.items():
            _draw(column[0], at.sel({WORD: word, PLACE: place, DEMAND: ALL}), "ending_log_rank", look)
        for axes, (place, line) in zip(column[1:3], LINES.items(), strict=True):
            for demand, colour in demands.items():
                part = at.sel({PLACE: place, DEMAND: demand})
                _draw(axes, part, "ending_logprob_change", {"color": colour, **line})
            axes.axhline(0, color=ASIDE_COLOUR, lw=0.8)
        _draw_by_token(column[3], shown.sel({DECODER: decoder}), scale)
        column[0].set_title(decoder, parse_math=False)
        set_depth_ticks(column[3], questions[DEPTH].values)
    change = "log-probability of the demanded\nword less the other's [nat],\n"
    told = ["log10(rank + 1)", *(change + place for place in TOLD.values()), "tokens before the last"]
    for axes, label in zip(panels[:, 0], told, strict=True):
        axes.set_ylabel(label)
    bar = figure.colorbar(ScalarMappable(scale, DIVERGING), ax=panels[3], label="the same, all pairs [nat]")
    bar.outline.set_visible(False)
    labels = {f"{word} word, {TOLD[place]}": look for (word, place), look in words.items()}
    labels |= {f"{demand} ({counts[demand]} pairs)": {"color": c} for demand, c in demands.items()}
    handles = [Line2D([], [], ms=4, label=label, **look) for label, look in labels.items()]
    figure.legend(handles=handles, ncols=3, frameon=False, loc="outside upper center")
    figure.supxlabel(
        f"{NORMS[questions.attrs['norm']]}; mean over {counts[ALL]} pairs of texts, bands: "
        f"{questions.attrs['interval']:.0%} bootstrap intervals over pairs",
        fontsize="small",
    )
    return figure


def _draw(axes: Axes, at: xr.Dataset, name: str, look: Look) -> None:
    index = at[DEPTH].values
    mean, low, high = (pd.Series(at[name + end].values, index) for end in ("", "_low", "_high"))
    draw_curve(axes, mean, low, high, markevery=marks(index), **look)


def _draw_by_token(axes: Axes, change: xr.DataArray, scale: Normalize) -> None:
    """``change`` (from the end, depth) as tiles, the text's end on top."""
    depths, before = change[DEPTH].values, change[FROM_END].values
    axes.pcolormesh(depths, before, change.transpose(FROM_END, DEPTH), norm=scale, cmap=DIVERGING)
    axes.set_ylim(before[-1] + 0.5, before[0] - 0.5)
    axes.set_yticks(before)
    axes.grid(False)
