"""Figures of averaged traces by category (`strata.trace.averages`).

Averages over prompts come as Datasets (category, noise, site, depth or layer, prompt). Where a model has
more categories or levels than a reader takes in at once, one figure shows the main categories at
one level, and another all of them: categories as columns, noise levels as rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from strata.figures.style import LINE_COLOURS, SEQUENTIAL, SITE_COLOURS, new_figure, new_notice
from strata.figures.trace_panels import (
    AXIS_LABELS,
    GREY,
    RESTORATION,
    SITE_LABELS,
    axis_of,
    bands_told,
    category_name,
    count,
    draw_band,
    draw_sites,
    image_extent,
    label_axis,
    noise_name,
    restoration_limits,
    say_if_empty,
    shared_legend,
)
from strata.names import CATEGORY, DEPTH, NOISE, SITE
from strata.trace.names import MIN_GAP, SUBJECT_LENGTH, SUBJECT_TOKEN

N_MAIN = 3  # categories of the first figures, unless more are named
MAX_COLUMNS = 6  # categories abreast where there are several noise levels
ROW_LABEL = {"rotation": 0, "ha": "right", "va": "center", "labelpad": 12}
GAP_STYLES = (":", "-.", (0, (1, 4)), (0, (6, 1, 1, 1, 1, 1)))


class Cell(NamedTuple):
    """A panel, the averages of its category and level, and the words that head it."""

    axes: Axes
    at: xr.Dataset
    heading: str

    def title(self, *lines: str) -> None:
        """Head the panel, and say more below."""
        words = "\n".join(line for line in (self.heading, *lines) if line)
        self.axes.set_title(words, fontsize=10, parse_math=False)


def main_categories(categories: Iterable[str], order: Sequence[str]) -> list[str]:
    """The categories that the first figures show: those of ``order``, and the first others up to three."""
    categories = list(map(str, categories))
    main = [category for category in order if category in categories]
    others = [category for category in categories if category not in main]
    return main + others[: max(0, N_MAIN - len(main))]


# Heat maps ----------------------------------------------------------------------------------


def draw_heatmap(state: xr.Dataset, noise: str, order: Sequence[str] = ()) -> Figure:
    """Average normalised restoration of subject and final token: the main categories at one level.

    Parameters
    ----------
    state : Dataset
        Of `strata.trace.averages.average_by_category`; so for `draw_heatmap_all`.
    noise : str
        The noise level drawn.
    order : sequence of str
        See `main_categories`; so for `draw_lines`.
    """
    categories, axis = main_categories(state[CATEGORY].values, order), axis_of(state)
    figure = new_figure(8.5, 0.8 + 1.15 * len(categories))
    panels = figure.subplots(len(categories), 1, squeeze=False, sharex=True)[:, 0]
    for axes, category in zip(panels, categories, strict=True):
        at = state.sel({CATEGORY: category, NOISE: noise})
        image = _draw_heat(axes, at, SITE_LABELS)
        say_if_empty(axes, at)
        axes.set_title(
            f"{category_name(category)}, {noise_name(noise, state)} ({count(at)})", parse_math=False
        )
    label_axis(panels[-1], state[axis].values, axis)
    figure.colorbar(image, ax=list(panels), label=RESTORATION, pad=0.01, aspect=30)
    return figure


def draw_heatmap_all(state: xr.Dataset) -> Figure:
    """The same of every category and noise level: categories as columns, levels as rows."""
    figure, panels, cells = _category_panels(state, height=1.0)
    for cell in cells:
        image = _draw_heat(cell.axes, cell.at, {site: site for site in SITE_LABELS})
        cell.title(count(cell.at))
    bar = {"location": "top", "shrink": 0.5, "aspect": 50, "pad": 0.02}
    figure.colorbar(image, ax=panels, label=RESTORATION, **bar)
    return figure


def _draw_heat(axes: Axes, at: xr.Dataset, labels: Mapping[str, str]) -> AxesImage:
    axis = axis_of(at)
    extent = image_extent(at[axis].values, at.sizes[SITE])
    look = {"aspect": "auto", "cmap": SEQUENTIAL, "vmin": 0, "vmax": 1, "extent": extent}
    image = axes.imshow(at["restoration"].transpose(SITE, axis), interpolation="nearest", **look)
    axes.set_yticks(range(at.sizes[SITE]), [labels[site] for site in at[SITE].values])
    axes.grid(False)
    return image


# Lines --------------------------------------------------------------------------------------


def draw_lines(state: xr.Dataset, gaps: xr.Dataset | None, noise: str, order: Sequence[str] = ()) -> Figure:
    """The same as lines, with the mean transition depth, both with their bootstrap intervals.

    The transition's interval is the grey band.

    Parameters
    ----------
    state : Dataset
        Of `strata.trace.averages.average_by_category`; so for `draw_lines_all`.
    gaps : Dataset, optional
        Of `strata.trace.averages.average_by_gap`: drawn as thin lines, without the rule that ``state``
        has already.
    noise : str
        The noise level drawn.
    """
    chosen = {CATEGORY: main_categories(state[CATEGORY].values, order), NOISE: [noise]}
    return _draw_lines(state.sel(chosen), None if gaps is None else gaps.sel(chosen))


def draw_lines_all(state: xr.Dataset, gaps: xr.Dataset | None = None) -> Figure:
    """The same of every category and noise level: categories as columns, levels as rows."""
    return _draw_lines(state, gaps)


def _draw_lines(state: xr.Dataset, gaps: xr.Dataset | None) -> Figure:
    figure, panels, cells = _category_panels(state, height=2.3 if state.sizes[NOISE] > 1 else 3.0)
    usual, gaps = restoration_limits(state), None if gaps is None else gaps.load()
    rules = [] if gaps is None else [g for g in gaps[MIN_GAP].values if g != state.attrs["min_gap"]]
    for cell in cells:
        axes, at = cell.axes, cell.at
        others = {gap: gaps.sel({MIN_GAP: gap, NOISE: at[NOISE], CATEGORY: at[CATEGORY]}) for gap in rules}
        for (gap, other), style in zip(others.items(), GAP_STYLES, strict=False):
            for site in at[SITE].values:
                curve = other["restoration"].sel({SITE: site})
                axes.plot(curve[axis_of(at)], curve, color=SITE_COLOURS[site], ls=style, lw=1.2)
            axes.plot([], [], color=GREY, ls=style, lw=1.2, label=f"noise takes {gap:.0%} or more")
        # Where there are many panels, a category that goes far above 1 has limits of its own.
        limits = (
            usual
            if state.sizes[NOISE] == 1
            else restoration_limits(state.sel({CATEGORY: at[CATEGORY].item()}))
        )
        draw_sites(axes, at, limits)
        if limits not in (usual, restoration_limits()):
            axes.tick_params(labelleft=True)
        lines = [count(at)]
        if "transition_mean" in at:
            lines.append(_draw_transition(axes, at))
        if others:
            lines.append("; ".join(f"{gap:.0%}: n = {int(o['n_prompts'])}" for gap, o in others.items()))
        cell.title(*lines)
    title = bands_told(state)
    if rules:
        title += f" of prompts from which noise takes {state.attrs['min_gap']:.0%} or more"
    figure.supylabel(RESTORATION, fontsize="medium")
    shared_legend(figure, panels, title)
    return figure


def _draw_transition(axes: Axes, at: xr.Dataset) -> str:
    """The mean transition depth as a line in its interval; says it in words."""
    mean, low, high = (float(at[f"transition_{name}"]) for name in ("mean", "low", "high"))
    if not np.isfinite(mean):
        return "no transition"
    axes.axvline(mean, color=GREY, ls="--", lw=1, label="mean transition depth")
    if np.isfinite(low):
        axes.axvspan(low, high, color=GREY, alpha=0.15, lw=0)
    return f"transition {mean:.1f}"


# Several runs -------------------------------------------------------------------------------


def draw_windows(state: xr.Dataset, mlp: xr.Dataset, attn: xr.Dataset, noise: str) -> Figure:
    """Restoration by states, by windows of MLPs and by windows of attention: a row for each category.

    Parameters
    ----------
    state, mlp, attn : Dataset
        Averages of the same categories, by depth or by layer.
    noise : str
        The noise level drawn.
    """
    return _draw_runs({"state": state, "MLP window": mlp, "attention window": attn}, noise)


def draw_measures(
    probability: xr.Dataset,
    p_whole: xr.Dataset,
    logit_difference: xr.Dataset,
    kl_clean: xr.Dataset,
    p_set: xr.Dataset,
    noise: str,
) -> Figure:
    """Restoration of states by each measure: a row for each category.

    Parameters
    ----------
    probability, p_whole, logit_difference, kl_clean, p_set : Dataset
        Averages of the same categories by depth, each of one measure.
    noise : str
        The noise level drawn.
    """
    runs = {
        "probability": probability,
        "whole target": p_whole,
        "logit difference": logit_difference,
        "KL from clean": kl_clean,
        "named set": p_set,
    }
    return _draw_runs(runs, noise)


def _draw_runs(runs: Mapping[str, xr.Dataset], noise: str) -> Figure:
    """A row a category of which there are all runs, a column a run."""
    first = next(iter(runs.values()))
    there = [run[CATEGORY].values for run in runs.values()]
    categories = [category for category in there[0] if all(category in others for others in there)]
    figure = new_figure(1.6 + 3.1 * len(runs), 1.4 + 1.9 * len(categories))
    panels = figure.subplots(len(categories), len(runs), squeeze=False)
    limits = {
        category: restoration_limits(*(run.sel({NOISE: noise, CATEGORY: category}) for run in runs.values()))
        for category in categories
    }
    for column, (name, averages) in zip(panels.T, runs.items(), strict=True):
        averages, axis = averages.sel({NOISE: noise}).load(), axis_of(averages)
        for axes, category in zip(column, categories, strict=True):
            at = averages.sel({CATEGORY: category})
            draw_sites(axes, at, limits[category])
            say_if_empty(axes, at)
            label_axis(axes, averages[axis].values, axis)
            axes.set_title(count(at), fontsize=10)
            axes.label_outer()
        column[0].set_title(f"{name}\n{column[0].get_title()}", fontsize=11, parse_math=False)
    for axes, category in zip(panels[:, 0], categories, strict=True):
        axes.set_ylabel(category_name(category), parse_math=False, **ROW_LABEL)
    figure.supylabel(RESTORATION, fontsize="medium")
    shared_legend(figure, panels, f"{noise_name(noise, first)}; {bands_told(first)}")
    return figure


def draw_severed(no_mlp: xr.Dataset, no_attn: xr.Dataset) -> Figure:
    """The share of a restored subject's effect that remains with parts of the model severed, by depth.

    No line where the whole effect is too small for a share of it.

    Parameters
    ----------
    no_mlp, no_attn : Dataset
        Of `strata.trace.severed.severed_share`: without MLPs, and without attention.
    """
    shares = {"without MLPs": no_mlp.load(), "without attention": no_attn.load()}
    figure, panels, cells = _category_panels(no_mlp, height=2.5)
    highest = max(float(share["share"].sel({SITE: "subject"}).max()) for share in shares.values())
    for cell in cells:
        axes, at = cell.axes, cell.at
        for colour, (name, share) in zip(LINE_COLOURS, shares.items(), strict=False):
            line = share.sel({NOISE: at[NOISE], CATEGORY: at[CATEGORY], SITE: "subject"})
            draw_band(axes, line[DEPTH], line["share"], line["share_low"], line["share_high"], colour, name)
        axes.axhline(1, color=GREY, lw=0.8, ls=":")
        axes.axhline(0, color=GREY, lw=0.8, ls=":")
        axes.set_ylim(-0.1, max(1.1, 1.05 * highest))
        cell.title(count(at))
    figure.supylabel("share of the effect that remains", fontsize="medium")
    floor = f"not stated where the state restores less than {no_mlp.attrs['min_effect']:g}"
    shared_legend(figure, panels, f"{bands_told(no_mlp)}; {floor}")
    return figure


def draw_subject_tokens(tokens: xr.Dataset) -> Figure:
    """Restoration of each token of subjects of two tokens and more: a line for each, by depth.

    ``tokens`` is of `strata.trace.subject_tokens.average_subject_tokens`. A column for each number of subject
    tokens, a row for each noise level.
    """
    lengths, levels = [n for n in tokens[SUBJECT_LENGTH].values if n > 1], tokens[NOISE].values
    if not lengths:
        return new_notice("Every traced subject is a single token.")
    tokens, axis, limits = tokens.load(), axis_of(tokens), restoration_limits(tokens)
    figure = new_figure(max(6.5, 0.6 + 3.3 * len(lengths)), 1.2 + 2.2 * len(levels))
    panels = figure.subplots(len(levels), len(lengths), squeeze=False)
    for row, level in zip(panels, levels, strict=True):
        for axes, length in zip(row, lengths, strict=True):
            at = tokens.sel({SUBJECT_LENGTH: length, NOISE: level})
            for k, colour in zip(range(length), LINE_COLOURS, strict=False):
                line = at.sel({SUBJECT_TOKEN: k})
                ends = line["restoration_low"], line["restoration_high"]
                draw_band(axes, tokens[axis], line["restoration"], *ends, colour, f"subject token {k + 1}")
            say_if_empty(axes, at)
            axes.set_ylim(limits)
            axes.set_title(f"{length} subject tokens, {noise_name(level)}\n{count(at)}", fontsize=10)
            label_axis(axes, tokens[axis].values, axis)
            axes.label_outer()
    figure.supylabel(RESTORATION, fontsize="medium")
    shared_legend(figure, panels, bands_told(tokens))
    return figure


# Panels -------------------------------------------------------------------------------------


def _category_panels(averages: xr.Dataset, height: float) -> tuple[Figure, np.ndarray, list[Cell]]:
    """A panel for each category and noise level, and what each is to show.

    Several levels are rows under their categories' columns. One level alone is folded, three categories
    abreast. ``height`` is that of a row, in inches. Limits of y are the caller's to set: axes that share
    them ask all others at every step, which takes longer than drawing.
    """
    averages = averages.load()
    categories, levels = averages[CATEGORY].values, averages[NOISE].values
    single, axis = len(levels) == 1, axis_of(averages)
    columns = min(3 if single else MAX_COLUMNS, len(categories))
    n_rows = -(-len(categories) // columns) * len(levels)
    figure = new_figure(max(6.5, 1.4 + (4.0 if single else 2.05) * columns), 1.4 + height * n_rows)
    panels = figure.subplots(n_rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_visible(False)
    cells = []
    for index, category in enumerate(categories):
        block, column = divmod(index, columns)
        for step, level in enumerate(levels):
            axes = panels[block * len(levels) + step, column]
            at = averages.sel({CATEGORY: category, NOISE: level})
            axes.set_visible(True)
            label_axis(axes, averages[axis].values, axis, most=12 if single else 6)
            axes.set_xlabel("")
            axes.tick_params(labelbottom=step == len(levels) - 1, labelleft=column == 0)
            say_if_empty(axes, at)
            heading = category_name(category) + (f", {noise_name(level, averages)}" if single else "")
            cells.append(Cell(axes, at, "" if step else heading))
            if column == 0 and not single:
                told = noise_name(level, averages).replace(" × ", " ×\n").replace(" = ", "\n= ")
                axes.set_ylabel(told, **ROW_LABEL)
    for axes in (
        panels.flat[len(categories) :]
        if single
        else panels[-len(levels) :].T[len(categories) % columns or columns :].flat
    ):
        axes.set_visible(False)
    figure.supxlabel(AXIS_LABELS[axis], fontsize="medium")
    return figure, panels, cells
