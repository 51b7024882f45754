"""Figures of causal traces."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from strata.figures.style import SEQUENTIAL, SITE_COLOURS, new_figure, readable
from strata.names import CATEGORY, DEPTH, N_TOKENS, NOISE, SAMPLE, SITE, TOKEN_STR

SITE_LABELS = {"subject": "subject token", "final": "final token"}


def _ticks(axes, depths: np.ndarray) -> None:
    shown = depths[:: max(1, len(depths) // 12)]
    axes.set_xticks(shown)


def draw_trace(trace: xr.Dataset) -> Figure:
    """One prompt: probability of the target with one state restored, by depth and token.

    ``trace`` is one prompt of trace/state.nc; one panel for each noise level. Noised tokens are
    starred; the title tells the top guess and the clean probability.
    """
    length = int(trace[N_TOKENS])
    first, last = int(trace["subject_start"]), int(trace["subject_position"])
    tokens = [readable(str(t)) for t in trace[TOKEN_STR].values[:length]]
    labels = [t + "*" if i == last else t for i, t in enumerate(tokens)][first:]
    levels = trace[NOISE].values
    figure = new_figure(1.5 + 5.0 * len(levels), 1.5 + 0.36 * len(labels))
    panels = figure.subplots(1, len(levels), squeeze=False, sharey=True)[0]
    top = float(trace["p_clean"])
    for axes, level in zip(panels, levels, strict=True):
        at = trace.sel({NOISE: level})
        p = at["p_target"].mean(SAMPLE).values[:, first:length].T
        image = axes.imshow(p, aspect="auto", cmap=SEQUENTIAL, vmin=0, vmax=max(top, float(np.nanmax(p))))
        corrupted = float(at["p_corrupted"].mean(SAMPLE))
        axes.set_title(f"noise {level}: corrupted {corrupted:.2f}", parse_math=False)
        axes.set_xlabel("depth of the restored state")
        axes.set_xticks(range(trace.sizes[DEPTH]), trace[DEPTH].values)
        axes.grid(False)
    panels[0].set_yticks(range(len(labels)), labels)
    for label in panels[0].get_yticklabels():
        label.set_parse_math(False)
    panels[0].set_ylabel("restored token (* noised)")
    target, guess = readable(str(trace["target"].values).replace(" ", "Ġ")), readable(str(trace["top_str"].values))
    figure.colorbar(image, ax=panels, label=f"p(“{target}”), mean of noise samples", pad=0.01)
    figure.suptitle(f"top guess “{guess}”, clean p(“{target}”) = {top:.2f}", parse_math=False)
    return figure


def draw_heatmap(averages: xr.Dataset) -> Figure:
    """Average normalised restoration of subject and final token: a panel for each category and noise."""
    categories, levels = averages[CATEGORY].values, averages[NOISE].values
    figure = new_figure(1.5 + 4.6 * len(levels), 0.8 + 1.05 * len(categories))
    panels = figure.subplots(len(categories), len(levels), squeeze=False, sharex=True, sharey=True)
    for row, category in enumerate(categories):
        for column, level in enumerate(levels):
            at = averages.sel({CATEGORY: category, NOISE: level})
            axes = panels[row, column]
            image = axes.imshow(
                at["restoration"].transpose(SITE, DEPTH), aspect="auto", cmap=SEQUENTIAL, vmin=0, vmax=1
            )
            axes.set_title(f"{category.replace('_', ' ')}, noise {level} (n = {int(at['n_prompts'])})")
            axes.set_yticks(range(2), [SITE_LABELS[s] for s in averages[SITE].values])
            axes.set_xticks(range(averages.sizes[DEPTH]), averages[DEPTH].values)
            axes.grid(False)
    for axes in panels[-1]:
        axes.set_xlabel("depth of the restored state")
    figure.colorbar(image, ax=panels, label="restoration (0 corrupted, 1 clean)", shrink=0.6, pad=0.01)
    return figure


def draw_lines(averages: xr.Dataset) -> Figure:
    """The same as lines with bootstrap bands, the mean transition depth marked."""
    categories, levels = averages[CATEGORY].values, averages[NOISE].values
    columns = min(3, len(categories))
    rows = -(-len(categories) // columns)
    figure = new_figure(3.9 * columns, 2.7 * rows * len(levels))
    panels = figure.subplots(rows * len(levels), columns, squeeze=False, sharex=True, sharey=True)
    depths = averages[DEPTH].values
    for axes in panels.flat[:]:
        axes.set_visible(False)
    for block, level in enumerate(levels):
        for index, category in enumerate(categories):
            axes = panels[block * rows + index // columns, index % columns]
            axes.set_visible(True)
            at = averages.sel({CATEGORY: category, NOISE: level})
            for site in averages[SITE].values:
                line = at.sel({SITE: site})
                colour = SITE_COLOURS[site]
                axes.plot(depths, line["restoration"], color=colour, label=SITE_LABELS[site])
                axes.fill_between(
                    depths, line["restoration_low"], line["restoration_high"], color=colour, alpha=0.2, lw=0
                )
            mean = float(at["transition_mean"])
            if np.isfinite(mean):
                axes.axvline(mean, color="#555555", ls="--", lw=1)
            told = f"transition {mean:.1f}" if np.isfinite(mean) else "no transition"
            axes.set_title(f"{category.replace('_', ' ')}, noise {level}\nn = {int(at['n_prompts'])}, {told}")
            axes.set_ylim(-0.1, 1.1)
            axes.tick_params(labelbottom=True)
            _ticks(axes, depths)
            axes.set_xlabel("depth of the restored state")
        panels[block * rows, 0].set_ylabel("restoration (0 corrupted, 1 clean)")
    panels[0, 0].legend(frameon=False, loc="center right")
    return figure


def draw_untraced(prompt: str) -> Figure:
    """What stands in the place of a trace that there is none of."""
    figure = new_figure(6.5, 1.5)
    text = f"{prompt}: not accepted on this model, see prompts.tsv for the reason."
    figure.text(0.5, 0.5, text, ha="center", va="center", parse_math=False)
    return figure
