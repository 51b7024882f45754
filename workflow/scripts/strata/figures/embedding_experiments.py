"""Figures of what a model loses when its position embedding is disturbed (`strata.embedding.experiments`)."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from strata.embedding.names import AVERAGED, CHANNEL_SETS, SMOOTHED, TREATMENT, ZEROED
from strata.figures.style import ASIDE_COLOUR, LINE_COLOURS, new_figure, new_notice
from strata.figures.told import estimate, in_interval
from strata.names import ALL, CHANNEL_SET, KIND, POSITION

SET_LOOKS = {
    "lowest": ("that move the least", LINE_COLOURS[0], "o"),
    "random": ("at random", ASIDE_COLOUR, "s"),
    "highest": ("that move the most", LINE_COLOURS[1], "^"),
}
KIND_NAMES = {ZEROED: "set to 0", AVERAGED: "set to their mean over positions"}


def draw_smoothing(experiments: xr.Dataset) -> Figure:
    """Change of loss with the position embedding smoothed: in all by width, and by position.

    Parameters
    ----------
    experiments : Dataset
        As `strata.embedding.experiments.disturb` returns it; so for the next. A line where the model has
        no position embedding.
    """
    experiments = experiments.load()
    if "change" not in experiments:
        return new_notice(f"position embedding {experiments.attrs['position_embedding']}")
    at = experiments.isel({TREATMENT: np.flatnonzero(experiments[KIND].values == SMOOTHED)})
    width = at["width"].values
    changed = at.isel({TREATMENT: np.flatnonzero(width > 0)})
    columns = max(1, -(-changed.sizes[TREATMENT] // 2))
    figure = new_figure(13, 5.4)
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2))
    overall = left.subplots()
    overall.vlines(width, at["change_overall_low"], at["change_overall_high"], color=LINE_COLOURS[0], lw=1.6)
    overall.plot(width, at["change_overall"], color=LINE_COLOURS[0], marker="o", ms=5, lw=1)
    overall.axhline(0, color="black", lw=0.8)
    overall.set_xscale("symlog", linthresh=max(min(width[width > 0], default=1), 1e-3))
    overall.set_xlim(-0.3 * min(width[width > 0], default=1), 1.3 * max(width, default=1))
    overall.set_xticks(width, [f"{w:g}" for w in width])
    overall.minorticks_off()
    overall.set(xlabel="width of smoothing (positions)", ylabel="change of loss (nats a token)")
    overall.set_title("all tokens")
    panels = right.subplots(2, columns, sharex=True, sharey=True, squeeze=False)
    for axes, treatment in zip(panels.flat, changed[TREATMENT].values, strict=False):
        one = changed.sel({TREATMENT: treatment})
        _draw_by_position(axes, one, color=LINE_COLOURS[0])
        axes.set_title(f"width {float(one['width']):g}")
    for axes in panels.flat:
        axes.label_outer()
    for axes in panels.flat[changed.sizes[TREATMENT] :]:
        axes.set_axis_off()
    figure.supxlabel(_told(experiments), fontsize="small")
    return figure


def draw_silencing(experiments: xr.Dataset) -> Figure:
    """Change of loss with the position part of some channels silenced: those that move the least, others."""
    experiments = experiments.load()
    if "change" not in experiments:
        return new_notice(f"position embedding {experiments.attrs['position_embedding']}")
    figure = new_figure(12, 8)
    panels = figure.subplots(2, 2, width_ratios=(1, 1.5), sharex="col")
    for (overall, by_position), (kind, name) in zip(panels, KIND_NAMES.items(), strict=True):
        at = experiments.isel({TREATMENT: np.flatnonzero(experiments[KIND].values == kind)})
        labels = []
        order = sorted(at[TREATMENT].values, key=lambda t: _place(at.sel({TREATMENT: t})))
        for place, treatment in enumerate(order):
            one = at.sel({TREATMENT: treatment})
            n, channel_set = int(one["n_channels"]), str(one[CHANNEL_SET].values)
            what, colour, marker = SET_LOOKS.get(channel_set, ("", "black", "D"))
            labels.append(f"all {n}" if channel_set == ALL else f"{n} {what}")
            value, low, high = (float(one[f"change_overall{end}"]) for end in ("", "_low", "_high"))
            overall.plot([low, high], [place] * 2, color=colour, lw=2)
            overall.plot(value, place, color=colour, marker=marker, ms=6)
            if channel_set == "random":
                ends = float(one["draws_lowest"]), float(one["draws_highest"])
                overall.plot(ends, [place - 0.25] * 2, color=colour, lw=1, marker="|", ms=6)
            told = in_interval(value, low, high, "+.3f")
            if np.isfinite(one["beyond_random"]):
                told += f"\nless random: {estimate(one, 'beyond_random', '+.3f')}"
            overall.annotate(
                told, (1.01, place), xycoords=overall.get_yaxis_transform(), fontsize=7, va="center"
            )
            if n == _matched(at) and channel_set != ALL:
                _draw_by_position(by_position, one, color=colour, label=labels[-1])
        overall.set_yticks(range(len(labels)), labels)
        overall.set(title=f"channels {name}", ylim=(len(labels) - 0.5, -0.6))
        overall.axvline(0, color="black", lw=0.8)
        by_position.set_title("by position")
        by_position.legend(frameon=False, fontsize="small", loc="upper right")
    panels[-1, 0].set_xlabel("change of loss (nats a token)")
    panels[0, 1].set_xlabel("")
    draws = f"thin grey bars: least and most of {experiments.attrs['draws']} draws"
    figure.supxlabel(f"{_told(experiments)}; {draws}", fontsize="small")
    return figure


def _draw_by_position(axes: Axes, one: xr.Dataset, **look) -> None:
    position = one[POSITION].values
    axes.plot(position, one["change"], lw=1.4, **look)
    axes.fill_between(position, one["change_low"], one["change_high"], color=look["color"], alpha=0.15, lw=0)
    axes.axhline(0, color="black", lw=0.8)
    axes.set(xlabel="position (tokens)", ylabel="change of loss (nats)")


def _place(one: xr.Dataset) -> tuple[int, int]:
    """All channels first, then by number, in the order of the sets."""
    channel_set = str(one[CHANNEL_SET].values)
    return -int(one["n_channels"]), (-1 if channel_set == ALL else CHANNEL_SETS.index(channel_set))


def _matched(at: xr.Dataset) -> int:
    """The number of channels at which all sets can be compared."""
    chosen = at[CHANNEL_SET].values != ALL
    return int(at["n_channels"].values[chosen].min())


def _told(experiments: xr.Dataset) -> str:
    n, interval = int(experiments["change_overall_n"]), experiments.attrs["interval"]
    loss = float(experiments["loss_overall"])
    return (
        f"{n} held-out documents, {int(experiments['n_tokens']):,} tokens, loss {loss:.2f} untouched;"
        f" bars and bands: {interval:.0%} bootstrap intervals over documents"
    )
