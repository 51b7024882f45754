"""Figures of the questions put to the lens (`strata.lens.questions`).

Each takes the Dataset that `strata.lens.questions.ask` returns. Where there is nothing to draw, because no
prompt or passage asks for it, the figure says so.
"""

import matplotlib
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from strata.figures.curves import draw_curve, set_depth_ticks, thinned
from strata.figures.lens import NORMS
from strata.figures.style import (
    ASIDE_COLOUR,
    DECODER_COLOURS,
    LINE_COLOURS,
    MARKERS,
    SEQUENTIAL,
    line_looks,
    new_figure,
    new_notice,
)
from strata.figures.told import estimate
from strata.lens.names import COMMA, DECODER, PASSAGE, REPEAT
from strata.names import ALL, BAND, CATEGORY, DEPTH, LAYER

LOG_RANK = "log10(rank of the input + 1)"
MAX_PASSAGES = 5  # rows of the figure of commas


def draw_first_block(questions: xr.Dataset) -> Figure:
    """What each block takes off KL(final ‖ depth), and adds to KL(input ‖ depth), as shares of the way.

    All prompts together; the legends tell block 0's share.
    """
    questions = questions.load()
    at = questions.sel({CATEGORY: ALL})
    figure = new_figure(11, 4.8)
    panels = figure.subplots(1, 2)
    titles = {
        "kl_final_share": "share of the fall in KL(final ‖ depth)",
        "kl_input_share": "share of KL(input ‖ depth) at the last depth",
    }
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        lines = _draw_decoders(axes, at, name, LAYER)
        first = at.sel({LAYER: 0})
        told = [
            f"{decoder}, block 0: {estimate(first.sel({DECODER: decoder}), name, '.1%')}" for decoder in lines
        ]
        axes.legend(lines.values(), told, frameon=False, fontsize="small")
        axes.axhline(0, color=ASIDE_COLOUR, lw=0.8)
        axes.set(xlabel="block", ylabel="the block's share")
        axes.set_xticks(thinned(at[LAYER].values))
        axes.set_title(title)
    figure.supxlabel(f"{int(at['kl_final_share_n'].max())} prompts; {_told(at)}", fontsize="small")
    return figure


def draw_input_kept(questions: xr.Dataset) -> Figure:
    """Rank of the input token by depth in bands of frequency; its correlation with frequency; copied words.

    Above, a panel for each decoder: the median over token types. Below left, the rank correlation of
    frequency and rank. Below right, the first instance of words to be copied against words as frequent.
    """
    questions = questions.load()
    if "frequency_rho" not in questions:
        return new_notice("It is not known how often each token occurs.")
    decoders = questions[DECODER].values
    figure = new_figure(max(11, 1.5 + 3.0 * len(decoders)), 8)
    above, below = figure.subfigures(2, 1, height_ratios=(1.15, 1))
    panels = above.subplots(1, len(decoders), squeeze=False, sharex=True, sharey=True)[0]
    bands = questions[BAND].values
    # Dark to bright, but short of a yellow that fades into the page.
    shades = matplotlib.colormaps[SEQUENTIAL](np.linspace(0, 0.85, len(bands)))
    for axes, decoder in zip(panels, decoders, strict=True):
        for band, colour, mark in zip(bands, shades, MARKERS, strict=False):
            at = questions.sel({DECODER: decoder, BAND: band})
            label = f"{band} ({int(at['band_log_rank_n'])})"
            _draw(axes, at, "band_log_rank", DEPTH, color=colour, marker=mark, label=label)
        axes.set_title(decoder, parse_math=False)
        set_depth_ticks(axes, questions[DEPTH].values)
    panels[0].set_ylabel(LOG_RANK + ",\nmedian over token types")
    keys = panels[0].get_legend_handles_labels()
    title = "occurrences, in training or in the text (token types)"
    above.legend(*keys, title=title, ncols=len(bands), frameon=False, loc="outside upper center")

    correlation, copied = below.subplots(1, 2)
    lines = _draw_decoders(correlation, questions, "frequency_rho", DEPTH)
    correlation.legend(lines.values(), lines, frameon=False, fontsize="small", ncols=2)
    correlation.set_ylabel("Spearman correlation of\nfrequency and rank of the input")
    n = int(questions["frequency_rho_n"].max())
    correlation.set_title(f"above 0: rarer tokens are kept better ({n} types)")
    words, controls = (int(questions[name].max()) for name in ("copied_words", "copied_controls"))
    _draw_decoders(copied, questions, "copied_change", DEPTH)
    copied.set_ylabel(LOG_RANK + ",\nword to be copied minus others")
    told = f"below 0: words to be copied are kept better ({words} words, {controls} others)"
    copied.set_title(told if words else "no words to be copied, with others as frequent")
    for axes in (correlation, copied):
        axes.axhline(0, color=ASIDE_COLOUR, lw=0.8)
        set_depth_ticks(axes, questions[DEPTH].values)
    figure.supxlabel(_told(questions), fontsize="small")
    return figure


def draw_commas(questions: xr.Dataset) -> Figure:
    """Rank of the first three commas at themselves, by depth: a row for each passage, a column a decoder."""
    questions = questions.load()
    passages, decoders = questions[PASSAGE].values[:MAX_PASSAGES], questions[DECODER].values
    n = questions.sizes[PASSAGE]
    if not n:
        return new_notice(f"No passage has {questions.sizes[COMMA]} commas.")
    figure = new_figure(max(7, 1.5 + 3.0 * len(decoders)), 1.4 + 2.4 * len(passages))
    panels = figure.subplots(len(passages), len(decoders), squeeze=False, sharex=True, sharey=True)
    for row, passage in zip(panels, passages, strict=True):
        for axes, decoder in zip(row, decoders, strict=True):
            at = questions.sel({PASSAGE: passage, DECODER: decoder})
            for comma, colour, mark in zip(at[COMMA].values, LINE_COLOURS, MARKERS, strict=False):
                rank = at["comma_rank"].sel({COMMA: comma}) + 1
                axes.plot(at[DEPTH], rank, color=colour, marker=mark, ms=4, lw=1.4, label=f"comma {comma}")
            axes.set_yscale("log")
        where = ", ".join(map(str, questions["comma_position"].sel({PASSAGE: passage}).values))
        row[0].set_ylabel(f"{passage}\n(positions {where})\nrank of the comma + 1", parse_math=False)
    for top, bottom, decoder in zip(panels[0], panels[-1], decoders, strict=True):
        top.set_title(decoder, parse_math=False)
        set_depth_ticks(bottom, questions[DEPTH].values)
    keys = panels[0, 0].get_legend_handles_labels()
    figure.legend(*keys, ncols=len(keys[1]), frameon=False, loc="outside upper center")
    left_out = f"; {n - len(passages)} more passages not shown" if n > len(passages) else ""
    figure.supxlabel(NORMS[questions.attrs["norm"]] + left_out, fontsize="small")
    return figure


def draw_target_depth(questions: xr.Dataset) -> Figure:
    """When the target arrives, and when the top guess is the final one, by category.

    Left, at last tokens: from where on the target is among the ten top guesses, and where it first is.
    Right: from where on the top guess is the final one, over all tokens and at last tokens. Means over
    prompts (their number in brackets) in their bootstrap intervals.
    """
    questions = questions.load()
    figure = new_figure(12.5, 2.2 + 0.7 * questions.sizes[CATEGORY])
    panels = figure.subplots(1, 2, sharex=True)
    told = {
        ("target_depth", "target_first_depth"): "target in the top 10\n● from then on   ○ for the first time",
        ("prediction_depth", "prediction_depth_last"): (
            "top guess is the final one from then on\n● all tokens   ○ last tokens"
        ),
    }
    for axes, (names, title) in zip(panels, told.items(), strict=True):
        for name, filled in zip(names, (True, False), strict=True):
            _draw_points(axes, questions, name, filled)
        _label_categories(axes, questions, names[0])
        axes.set_title(title)
        set_depth_ticks(axes, questions[DEPTH].values)
    panels[0].set_xlim(-0.4, questions[DEPTH].values[-1] + 0.4)
    handles = [Line2D([], [], **look, label=name) for name, look in _looks(questions).items()]
    figure.legend(handles=handles, ncols=4, frameon=False, loc="outside upper center")
    undefined = int(questions["target_undefined"].sel({CATEGORY: ALL}).max())
    left_out = f"; {undefined} prompts are left out whose target is not there at the end" if undefined else ""
    figure.supxlabel(_told(questions) + left_out, fontsize="small")
    return figure


def draw_repetition(questions: xr.Dataset) -> Figure:
    """When the next token arrives, by how often its pair has been said; and for how many tokens it does."""
    questions = questions.load()
    if REPEAT not in questions.dims:
        return new_notice("No prompt of this run repeats itself.")
    figure = new_figure(11.5, 4.8)
    panels = figure.subplots(1, 2, sharex=True, width_ratios=(1.5, 1))
    for axes, name in zip(panels, ("repeat_depth", "repeat_share"), strict=True):
        lines = _draw_decoders(axes, questions, name, REPEAT)
        axes.set_xlabel("times that the pair (token, next token) was said before\n(prompts)")
        counts = questions["repeat_share_n"].max(DECODER).to_series()
        ticks = thinned(counts.index.to_numpy())
        axes.set_xticks(ticks, [f"{tick}\n({counts[tick]})" for tick in ticks])
    panels[0].set_ylabel("depth (blocks applied)")
    panels[0].set_title("depth from which on the next token is in the top 10")
    panels[0].legend(lines.values(), lines, frameon=False, fontsize="small", ncols=2)
    panels[1].set(ylabel="share of tokens", ylim=(-0.02, 1.02))
    panels[1].set_title("next token is in the top 10 at the last depth")
    figure.supxlabel(_told(questions), fontsize="small")
    return figure


def _looks(questions: xr.Dataset) -> dict[str, dict[str, str]]:
    return line_looks(map(str, questions[DECODER].values), DECODER_COLOURS)


def _draw(axes: Axes, at: xr.Dataset, name: str, dim: str, **look) -> None:
    """The line of ``name`` along ``dim``, in its interval."""
    index = at[dim].values
    mean, low, high = (pd.Series(at[name + end].values, index) for end in ("", "_low", "_high"))
    draw_curve(axes, mean, low, high, **look)


def _draw_decoders(axes: Axes, questions: xr.Dataset, name: str, dim: str) -> dict[str, Line2D]:
    looks = _looks(questions)
    for decoder, look in looks.items():
        _draw(axes, questions.sel({DECODER: decoder}), name, dim, **look)
    return dict(zip(looks, axes.lines, strict=True))


def _draw_points(axes: Axes, questions: xr.Dataset, name: str, filled: bool) -> None:
    """``name`` of every category, a row each, and decoder, one below the other, in their intervals."""
    looks = _looks(questions)
    room = 0.7 / len(looks)
    for number, (decoder, look) in enumerate(looks.items()):
        at = questions.sel({DECODER: decoder})
        rows = np.arange(at.sizes[CATEGORY]) + room * (number - (len(looks) - 1) / 2)
        axes.hlines(rows, at[f"{name}_low"], at[f"{name}_high"], color=look["color"], lw=1.2, alpha=0.7)
        # Where both are one depth, a ring is seen around a dot.
        dot = {"ms": 3.5} if filled else {"ms": 7, "mfc": "none"}
        axes.plot(at[name], rows, color=look["color"], marker=look["marker"], lw=0, **dot)


def _label_categories(axes: Axes, questions: xr.Dataset, name: str) -> None:
    counts = questions[f"{name}_n"].max(DECODER).values
    categories = [str(category).replace("_", " ") for category in questions[CATEGORY].values]
    labels = [f"{c} ({n or 'none'})" for c, n in zip(categories, counts, strict=True)]
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    for edge in range(1, len(labels)):
        axes.axhline(edge - 0.5, color="#DDDDDD", lw=0.8)
    axes.grid(False, axis="y")


def _told(questions: xr.Dataset) -> str:
    bands = f"{questions.attrs['interval']:.0%} bootstrap intervals"
    return f"{NORMS[questions.attrs['norm']]}; {bands}"
