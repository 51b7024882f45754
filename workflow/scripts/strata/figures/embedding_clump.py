"""The figure of clusters of tokens that lie close together (`strata.embedding.clump`)."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from strata.figures.points import label_points
from strata.figures.style import ASIDE_COLOUR, LINE_COLOURS, new_figure, new_notice, readable
from strata.figures.told import estimate
from strata.names import TOKEN_STR

INK = "#222222"
CLUMP_COLOUR = LINE_COLOURS[1]
MARGIN = 0.35  # of the plane's range about a clump, in the panel that shows it alone


def draw_clump(clump: xr.Dataset, n_labels: int = 14) -> Figure:
    """Tokens in the plane of the most outlying gain channel and the norm; the first clump by itself.

    Parameters
    ----------
    clump : Dataset
        As `strata.embedding.clump.find_clumps` returns it.
    """
    if "norm" not in clump:
        return new_notice(f"clump {clump.attrs['clump']}")
    value, norm, member = (clump[name].values for name in ("value", "norm", "clump"))
    points = np.column_stack([value, norm])
    first = member == 1
    counted = "count" in clump and first.any()
    n_panels = 1 + first.any() + counted
    figure = new_figure(1 + 5.2 * n_panels, 5.4)
    panels = figure.subplots(1, n_panels, squeeze=False)[0]
    dots = {"lw": 0, "rasterized": True}
    size = float(np.clip(20_000 / len(value), 2, 8))
    axis = f"channel {int(clump['channel'])} (embedding units)"
    for axes in panels[: 1 + first.any()]:
        axes.scatter(*points[member == 0].T, s=size, color=ASIDE_COLOUR, alpha=0.5, **dots)
        axes.scatter(*points[member > 0].T, s=size, color=CLUMP_COLOUR, alpha=0.7, **dots)
        axes.set(xlabel=axis, ylabel="norm of the embedding (embedding units)")
    sizes = np.bincount(member)[1:]
    told = ", ".join(f"{n:,}" for n in sizes[:4]) + (", …" if len(sizes) > 4 else "")
    panels[0].set_title(f"{len(value):,} tokens; in clumps: {told or 'none'}")
    if first.any():
        centre = np.median(points[first], axis=0)
        _zoom(panels[0], panels[1], points[first])
        distance = np.linalg.norm(
            (points - centre) / np.maximum(np.ptp(points[first], axis=0), 1e-12), axis=1
        )
        order = np.flatnonzero(first)[np.argsort(-distance[first], kind="stable")]
        labels = {index: readable(clump[TOKEN_STR].values[index]) for index in order[: 6 * n_labels]}
        label_points(panels[1], points, labels, most=n_labels)
        panels[1].set_title(
            f"the clump: {int(first.sum()):,} tokens, {float(clump['contrast']):,.0f} times\n"
            "as dense as their surroundings"
        )
    if counted:
        _draw_counts(panels[2], clump)
    rule = clump.attrs
    figure.supxlabel(
        f"a clump: {rule['tokens']} tokens or more in less room than anywhere in {rule['draws']} random "
        f"matrices of the same means and spreads,\nand at least {rule['least_contrast']:g} times as dense "
        "as what is around it",
        fontsize="small",
    )
    return figure


def _zoom(whole: Axes, axes: Axes, points: np.ndarray) -> None:
    """Limits of ``axes`` about some points, and their frame in ``whole``."""
    low, high = points.min(0), points.max(0)
    pad = MARGIN * np.maximum(high - low, 1e-6)
    axes.set(xlim=(low[0] - pad[0], high[0] + pad[0]), ylim=(low[1] - pad[1], high[1] + pad[1]))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    frame = Rectangle(low - pad, *(high - low + 2 * pad), fill=False, ec=INK, lw=1)
    whole.add_patch(frame)


def _draw_counts(axes: Axes, clump: xr.Dataset) -> None:
    """How often tokens of clumps and the others occur, as shares of each that occur at most so often."""
    count, inside = clump["count"].values, clump["clump"].values > 0
    known = np.isfinite(count)
    for group, colour, label in ((inside, CLUMP_COLOUR, "in clumps"), (~inside, ASIDE_COLOUR, "others")):
        values = np.sort(count[known & group])
        median = float(np.median(values))
        label = f"{label} ({len(values):,}): median {median:,.0f}"
        axes.step(
            values, np.arange(1, len(values) + 1) / len(values), where="post", color=colour, label=label
        )
    axes.set_xscale("symlog", linthresh=1)
    axes.set(xlim=(0, None), ylim=(0, 1.03))
    axes.set(xlabel="occurrences (tokens)", ylabel="share of tokens that occur at most so often")
    share = estimate(clump, "rarer_share", ".1%")
    axes.set_title(f"clump rarer than {share}\nof tokens; 50% if unrelated to counts")
    axes.legend(frameon=False, fontsize="small", loc="center right")
