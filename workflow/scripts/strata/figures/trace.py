"""Figures of causal traces."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from strata.figures.style import SEQUENTIAL, SITE_COLOURS, new_figure, readable
from strata.names import CATEGORY, DEPTH, N_TOKENS, NOISE, SAMPLE, SITE, TOKEN_STR

SITE_LABELS = {"subject": "subject token", "final": "final token"}


def _ticks(axes: Axes, depths: np.ndarray) -> None:
    axes.set_xticks(depths[:: -(-len(depths) // 12)])


def _columns(depths: np.ndarray, n_rows: int) -> tuple[float, float, float, float]:
    """Extent of an image whose columns are centred on their depths, rows from the top."""
    return depths[0] - 0.5, depths[-1] + 0.5, n_rows - 0.5, -0.5


def _noise(data: xr.Dataset, level: str) -> str:
    """A level's name: a standard deviation ("0.5") or a multiple of the embeddings' own ("3x")."""
    times = str(level).removesuffix("x")
    if times == str(level):
        return f"noise sd {level}"
    measured = f" = {float(data['noise_sd'].sel({NOISE: level})):.2g}" if "noise_sd" in data else ""
    return f"noise {times} × embedding sd{measured}"


def _count(cell: xr.Dataset) -> str:
    left_out = int(cell["n_excluded"])
    return f"n = {int(cell['n_prompts'])}" + (f", {left_out} left out" if left_out else "")


def _say_if_empty(axes: Axes, cell: xr.Dataset) -> None:
    if not int(cell["n_prompts"]):
        text = "noise took too little from every prompt"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize="small")


def draw_trace(trace: xr.Dataset) -> Figure:
    """One prompt: probability of the target with one state restored, by depth and token.

    ``trace`` is one prompt of trace/state.nc; one panel for each noise level. Noised tokens are
    starred; tokens before them, where nothing can be restored, stand at the corrupted value. The
    title tells the top guess and the clean probability.
    """
    length = int(trace[N_TOKENS])
    first, last = int(trace["subject_start"]), int(trace["subject_position"])
    tokens = [readable(str(t)) for t in trace[TOKEN_STR].values[:length]]
    labels = [t + "*" if i == last else t for i, t in enumerate(tokens)][first:]
    levels = trace[NOISE].values
    figure = new_figure(1.5 + 5.0 * len(levels), 1.5 + 0.36 * len(labels))
    panels = figure.subplots(1, len(levels), squeeze=False, sharey=True)[0]
    top = float(trace["p_clean"])
    highest = max(top, float(trace["p_target"].mean(SAMPLE).max()))
    for axes, level in zip(panels, levels, strict=True):
        at = trace.sel({NOISE: level})
        p = at["p_target"].mean(SAMPLE).values[:, first:length].T
        corrupted = float(at["p_corrupted"].mean(SAMPLE))
        p = np.where(np.isnan(p), corrupted, p)  # before the noise nothing can be restored
        extent = _columns(trace[DEPTH].values, len(labels))
        image = axes.imshow(p, aspect="auto", cmap=SEQUENTIAL, vmin=0, vmax=highest, extent=extent)
        axes.set_title(f"{_noise(trace, level)}: corrupted {corrupted:.2f}", parse_math=False)
        axes.set_xlabel("depth of the restored state")
        _ticks(axes, trace[DEPTH].values)
        axes.grid(False)
    panels[0].set_yticks(range(len(labels)), labels)
    for label in panels[0].get_yticklabels():
        label.set_parse_math(False)
    panels[0].set_ylabel("restored token (* noised)")
    target, guess = (
        readable(str(trace["target"].values).replace(" ", "Ġ")),
        readable(str(trace["top_str"].values)),
    )
    bar = figure.colorbar(image, ax=panels, pad=0.01)
    bar.ax.set_ylabel(f"p(“{target}”), mean of noise samples", parse_math=False)
    figure.suptitle(f"top guess “{guess}”, clean p(“{target}”) = {top:.2f}", parse_math=False)
    return figure


def draw_heatmap(averages: xr.Dataset) -> Figure:
    """Average normalised restoration of subject and final token: a panel for each category and noise."""
    categories, levels = averages[CATEGORY].values, averages[NOISE].values
    figure = new_figure(1.5 + 5.0 * len(levels), 0.8 + 1.05 * len(categories))
    panels = figure.subplots(len(categories), len(levels), squeeze=False, sharex=True, sharey=True)
    for row, category in enumerate(categories):
        for column, level in enumerate(levels):
            at = averages.sel({CATEGORY: category, NOISE: level})
            axes = panels[row, column]
            image = axes.imshow(
                at["restoration"].transpose(SITE, DEPTH),
                aspect="auto",
                cmap=SEQUENTIAL,
                vmin=0,
                vmax=1,
                extent=_columns(averages[DEPTH].values, averages.sizes[SITE]),
            )
            axes.set_title(f"{category.replace('_', ' ')}, {_noise(averages, level)} ({_count(at)})")
            _say_if_empty(axes, at)
            axes.set_yticks(range(2), [SITE_LABELS[s] for s in averages[SITE].values])
            _ticks(axes, averages[DEPTH].values)
            axes.grid(False)
    for axes in panels[-1]:
        axes.set_xlabel("depth of the restored state")
    figure.colorbar(image, ax=panels, label="restoration (0 corrupted, 1 clean)", shrink=0.6, pad=0.01)
    return figure


def draw_lines(averages: xr.Dataset) -> Figure:
    """The same as lines, with the mean transition depth, both with their bootstrap intervals.

    One block of rows for each noise level. The transition's interval is the grey band.
    """
    categories, levels = averages[CATEGORY].values, averages[NOISE].values
    columns = min(3, len(categories))
    rows = -(-len(categories) // columns)
    figure = new_figure(4.1 * columns, 0.5 + 2.7 * rows * len(levels))
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
                axes.axvline(mean, color="#555555", ls="--", lw=1, label="mean transition depth")
                low, high = float(at["transition_low"]), float(at["transition_high"])
                if np.isfinite(low):
                    axes.axvspan(low, high, color="#555555", alpha=0.15, lw=0)
            told = f"transition {mean:.1f}" if np.isfinite(mean) else "no transition"
            axes.set_title(f"{category.replace('_', ' ')}, {_noise(averages, level)}\n{_count(at)}, {told}")
            _say_if_empty(axes, at)
            axes.set_ylim(-0.1, 1.1)
            axes.tick_params(labelbottom=True)
            _ticks(axes, depths)
            axes.set_xlabel("depth of the restored state")
        panels[block * rows, 0].set_ylabel("restoration (0 corrupted, 1 clean)")
    keys = {}
    for axes in panels.flat:
        keys |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    bands = f"bands: {averages.attrs['interval']:.0%} bootstrap intervals"
    figure.legend(
        keys.values(), keys, title=bands, frameon=False, ncols=len(keys), loc="outside upper center"
    )
    return figure


def draw_untraced(prompt: str) -> Figure:
    """What stands in the place of a trace that there is none of."""
    figure = new_figure(6.5, 1.5)
    text = f"{prompt}: not accepted on this model, see prompts.tsv for the reason."
    figure.text(0.5, 0.5, text, ha="center", va="center", parse_math=False)
    return figure
