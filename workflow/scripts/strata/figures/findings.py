"""The figures of docs/findings.md: models side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from strata.figures.curves import draw_curve, marks, set_log_scale
from strata.figures.style import ASIDE_COLOUR, as_written, category_colours, line_looks, new_figure
from strata.figures.trace_panels import category_name
from strata.findings.answers import Answer
from strata.findings.estimates import NOT_ASKED, Estimate, number
from strata.findings.lens import input_on_top, kl_by_depth
from strata.findings.scorecard import COLOURS
from strata.lens.comparison import mean_and_interval


def draw_transitions(transitions: Mapping[str, Mapping[str, Estimate]], layers: Mapping[str, int]) -> Figure:
    """Mean transition depth of each category as a share of depth, with its interval; a panel a model.

    Parameters
    ----------
    transitions : of `strata.findings.page.transitions_of`
    layers : number of blocks of each model
    """
    colours = category_colours(transitions)
    rows = list(transitions)
    beside = {"fontsize": "x-small", "color": ASIDE_COLOUR, "backgroundcolor": "white"}
    figure = new_figure(2.4 + 2.9 * len(layers), 1.2 + 0.34 * len(rows))
    panels = figure.subplots(1, len(layers), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (model, depth) in zip(panels, layers.items(), strict=True):
        for y, category in enumerate(rows):
            found = transitions[category][model]
            if not found.missing:
                _draw_point(axes, y, found.of(depth), color=colours[category], marker="o")
                axes.text(1.1, y, f"{found.n}", va="center", ha="right", **beside)
        axes.set_title(f"{model} ({depth} blocks)", parse_math=False)
        axes.set(xlim=(0, 1.15), xticks=[0, 0.25, 0.5, 0.75, 1], xticklabels=["0", "¼", "½", "¾", "1"])
    panels[0].set_yticks(range(len(rows)), [category_name(category) for category in rows])
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    figure.supxlabel("transition depth as a share of depth; at the right: prompts", fontsize="small")
    return figure


def draw_lens(lenses: Mapping[str, xr.Dataset]) -> Figure:
    """KL(final ‖ depth), and how often the input is the top guess, by share of depth; one line a model.

    Parameters
    ----------
    lenses : name of a model to its lens/logit.nc
    """
    figure = new_figure(10, 3.9)
    left, right = figure.subplots(1, 2, sharex=True)
    for name, look in line_looks(lenses).items():
        layers = int(lenses[name]["depth"][-1])
        label = f"{name} ({layers} blocks)"
        # The last depth is the final distribution: at 0, which has no place on a log scale.
        _draw_means(left, kl_by_depth(lenses[name]).iloc[:, :-1], layers, look, label)
        _draw_means(right, input_on_top(lenses[name]), layers, look, label)
    set_log_scale(left)
    left.set(ylabel="KL(final ‖ depth) [nat], log scale", title="distance from the final distribution")
    right.set(ylabel="share of tokens", ylim=(-0.02, 1.02), title="the top guess is the input token")
    handles, labels = left.get_legend_handles_labels()
    as_written(figure.legend(handles, labels, frameon=False, ncols=3, loc="outside upper center"))
    told = "share of depth; mean over prompts, bands: 95 % bootstrap intervals over what they ask"
    figure.supxlabel(told, fontsize="small")
    return figure


def draw_values(answers: Sequence[Answer], models: Sequence[str]) -> Figure:
    """Values with their intervals, a row a finding and a colour a model, and the thresholds."""
    shown = [answer for answer in answers if answer.drawn]
    looks = line_looks(models)
    figure = new_figure(8.5, 1.5 + 0.42 * len(shown))
    axes = figure.subplots()
    offsets = np.linspace(-0.22, 0.22, len(models)) if len(models) > 1 else [0.0]
    for row, answer in enumerate(shown):
        ((_, threshold),) = answer.holds.items()
        for model, offset in zip(models, offsets, strict=True):
            found, look = answer.estimates[model], looks[model]
            at = found.chance if isinstance(threshold, str) else threshold
            if not (found.missing or found.refuted):
                _draw_point(axes, row + offset, found, color=look["color"], marker=look["marker"])
                axes.plot(
                    [at, at],
                    [row + offset - 0.11, row + offset + 0.11],
                    color=ASIDE_COLOUR,
                    lw=2.2,
                    zorder=1.5,
                )
    for model, look in looks.items():
        axes.plot([], [], color=look["color"], marker=look["marker"], ms=5, label=model)
    axes.plot([], [], color=ASIDE_COLOUR, lw=2.2, label="threshold")
    axes.axvline(0, color=ASIDE_COLOUR, lw=0.8)
    axes.set_yticks(range(len(shown)), [answer.short for answer in shown])
    axes.set(xlim=(-1.02, 1.02), ylim=(len(shown) - 0.5, -0.5), xlabel="value (statistics as in the tables)")
    as_written(figure.legend(frameon=False, ncols=len(models) + 1, loc="outside upper center"))
    return figure


def draw_verdicts(sections: Mapping[str, Mapping], answers: Mapping[str, Sequence[Answer]]) -> Figure:
    """What holds of which model: a row a claim, a column a model, a word and a colour for the verdict.

    Claims that none of the models can be asked are left out.

    Parameters
    ----------
    sections : name to ``title``
    answers : of each section
    """
    models = list(next(iter(answers.values()))[0].estimates)
    asked = {
        key: [a for a in part if set(a.verdicts.values()) != {NOT_ASKED}] for key, part in answers.items()
    }
    answers = {key: part for key, part in asked.items() if part}
    rows = [(key, answer) for key, part in answers.items() for answer in (None, *part)]
    figure = new_figure(4.6 + 1.75 * len(models), 0.7 + 0.23 * len(rows))
    axes = figure.subplots()
    for row, (key, answer) in enumerate(rows):
        name, weight = (answer.short, "normal") if answer else (sections[key]["title"], "bold")
        look = {"ha": "right", "va": "center", "fontsize": 8, "fontweight": weight, "parse_math": False}
        axes.text(-0.03, row, name, **look)
        for column, model in enumerate(models if answer else ()):
            found, said = answer.estimates[model], answer.verdicts[model]
            box = Rectangle((column + 0.03, row - 0.44), 0.94, 0.88, facecolor=COLOURS[said], lw=0)
            axes.add_patch(box)
            value = "" if found.missing or found.refuted else f"  {number(found.value, 2)}"
            colour = ASIDE_COLOUR if said == NOT_ASKED else "black"
            axes.text(column + 0.5, row, said + value, ha="center", va="center", fontsize=7, color=colour)
    axes.set(xlim=(0, len(models)), ylim=(len(rows) - 0.5, -0.5), yticks=[])
    axes.set_xticks([column + 0.5 for column in range(len(models))], models)
    for label in axes.get_xticklabels():
        label.set_parse_math(False)
    axes.grid(False)
    axes.tick_params(length=0, labelbottom=False, labeltop=True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def _draw_point(axes: Axes, y: float, found: Estimate, **look) -> None:
    axes.plot([found.low, found.high], [y, y], color=look["color"], lw=2)
    axes.plot(found.value, y, ms=5, **look)


def _draw_means(axes: Axes, means: pd.DataFrame, layers: int, look: dict[str, str], label: str) -> None:
    """A line through the means over prompts; rows (category, prompt), a column each depth."""
    places = marks(means.columns)
    means = means.set_axis(means.columns / layers, axis="columns")
    mean, low, high = mean_and_interval(means)
    draw_curve(axes, mean, low.clip(lower=0), high, **look, label=label, markevery=places)
