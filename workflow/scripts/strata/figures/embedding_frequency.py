"""Figures of token frequency and its candidate features (`strata.embedding.frequency`)."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from strata.embedding.names import (
    EVERYTHING,
    FEATURE,
    GIVEN,
    LENGTH,
    LOG_FREQUENCY,
    MEAN,
    NOTHING,
    OTHER,
    SEEN,
    SVD_0,
)
from strata.figures.points import label_points
from strata.figures.style import ASIDE_COLOUR, LINE_COLOURS, ink_on, new_figure, readable
from strata.figures.told import estimate, in_interval
from strata.names import ALL, CHANNEL, TOKEN_SET, TOKEN_STR
from strata.stats.seeding import generator

BLUE, ORANGE, GREEN = LINE_COLOURS[:3]
INK = "#222222"
ROLE_COLOURS = {"outlier": ORANGE, "control": GREEN}
UNITS = {SVD_0: "left vector, no unit", "token index": "index"}
NEVER_SEEN = -0.7  # where tokens never seen are on the axis of log frequency
GIVENS = {
    NOTHING: ("plainly", INK, "o"),
    MEAN: ("given mean direction", BLUE, "s"),
    EVERYTHING: ("given all others", ORANGE, "D"),
}


def draw_scatter(frequency: xr.Dataset, n_labels: int = 7) -> Figure:
    """Every feature against log frequency; the tokens furthest from those as frequent are labelled.

    Parameters
    ----------
    frequency : Dataset
        As `strata.embedding.frequency.analyse` returns it; so for every figure of this module.
    """
    frequency = frequency.load()
    names = _candidates(frequency)
    n_columns = 3
    n_rows = -(-len(names) // n_columns)
    figure = new_figure(13, 0.7 + 3.7 * n_rows)
    panels = figure.subplots(n_rows, n_columns, sharex=True, squeeze=False).ravel()
    count = frequency["count"].values
    seen, never = count > 0, count == 0
    x = np.where(seen, frequency["value"].sel({FEATURE: LOG_FREQUENCY}).values, NEVER_SEEN)
    spread = generator(0).uniform(-0.15, 0.15, len(x)) * never
    tokens = frequency[TOKEN_STR].values
    dots = {"s": 5, "lw": 0, "rasterized": True, "alpha": float(np.clip(3000 / len(x), 0.15, 0.6))}
    furthest = {}
    for axes, name in zip(panels, names, strict=False):
        points = np.column_stack([x + spread, frequency["value"].sel({FEATURE: name}).values])
        axes.scatter(*points[seen].T, color=BLUE, **dots)
        axes.scatter(*points[never].T, color=ASIDE_COLOUR, **dots)
        far = np.where(seen, abs(frequency["outlyingness"].sel({FEATURE: name}).values), 0)
        furthest[axes] = points, np.argsort(-far)[: 6 * n_labels]
        axes.set_ylabel(f"{name} ({UNITS.get(name, 'embedding units')})")
        axes.set_title(f"{_title(frequency, name)}\n{_told(frequency, name)}", fontsize="small")
        axes.margins(0.1)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    ticks = np.arange(0, np.ceil(np.nanmax(np.where(seen, x, np.nan))) + 1)
    for axes in panels[max(0, len(names) - n_columns) : len(names)]:
        axes.set_xlabel("log10 of the number of occurrences")
        axes.tick_params(labelbottom=True)
    if never.any():
        ticks = np.append(NEVER_SEEN, ticks)
    panels[0].set_xticks(ticks, ["never" if tick == NEVER_SEEN else f"{tick:.0f}" for tick in ticks])
    for axes, (points, order) in furthest.items():
        labels = {index: readable(tokens[index]) for index in order}
        label_points(axes, points, labels, most=n_labels, fontsize="x-small")
    figure.supxlabel(
        f"ρ: Spearman's rank correlation with frequency, {_interval(frequency)}. {_sizes(frequency)}\n"
        "Labelled: the tokens furthest from the median of tokens as frequent (20 bins), by modified z-score.",
        fontsize="small",
    )
    return figure


def draw_correlations(frequency: xr.Dataset) -> Figure:
    """The table of rank correlations: tokens that were seen below the diagonal, all tokens above it."""
    names = list(frequency[FEATURE].values)
    n = len(names)
    plain = frequency[["rho", "rho_low", "rho_high"]].sel({GIVEN: NOTHING})
    below, above = (
        {
            key: values.sel({TOKEN_SET: chosen}).transpose(FEATURE, OTHER).values
            for key, values in plain.items()
        }
        for chosen in (SEEN, ALL)
    )
    lower = np.tri(n, k=-1, dtype=bool)
    each = {key: np.where(lower, below[key], above[key]) for key in below}
    shown = np.where(np.eye(n, dtype=bool), np.nan, each["rho"])
    figure = new_figure(1.6 + 1.06 * n, 1.6 + 0.72 * n)
    axes = figure.subplots()
    image = axes.imshow(shown, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    for i, j in np.argwhere(np.isfinite(shown)):
        ink = ink_on(image.cmap(image.norm(shown[i, j])))
        look = {"ha": "center", "va": "center", "color": ink, "in_layout": False}
        axes.text(j, i - 0.12, f"{shown[i, j]:.2f}", fontsize="small", **look)
        ends = each["rho_low"][i, j], each["rho_high"][i, j]
        if np.isfinite(ends).all():
            axes.text(j, i + 0.24, f"{ends[0]:.2f} … {ends[1]:.2f}", fontsize=6.5, **look)
    labels = [_title(frequency, name, short=True) for name in names]
    axes.set_xticks(range(n), labels, rotation=30, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.set_yticks(range(n), labels)
    axes.grid(False)
    figure.colorbar(image, ax=axes, label="Spearman's rank correlation", aspect=30)
    figure.supxlabel(
        f"below the diagonal tokens that were seen, above it all. {_sizes(frequency)}\n"
        f"Small: {_interval(frequency)}.",
        fontsize="small",
    )
    return figure


def draw_partial(frequency: xr.Dataset) -> Figure:
    """Correlations with frequency plainly and with others held fixed, and those of every single channel."""
    frequency = frequency.load()
    names = _candidates(frequency)
    pairs = [(LOG_FREQUENCY, name) for name in names] + [(LENGTH, SVD_0)]
    labels = [_title(frequency, name, short=True) for name in names] + ["norm with SVD 0"]
    figure = new_figure(13.5, 1.9 + 0.42 * len(pairs))
    first, second, third = figure.subplots(1, 3, width_ratios=(1.25, 1.25, 1))
    rows = np.arange(len(pairs))
    for axes, chosen, told in ((first, SEEN, "tokens that were seen"), (second, ALL, "all tokens")):
        part = frequency.sel({TOKEN_SET: chosen})
        for shift, (given, (label, colour, marker)) in zip((-0.22, 0, 0.22), GIVENS.items(), strict=True):
            cells = [part.sel({FEATURE: x, OTHER: y, GIVEN: given}) for x, y in pairs]
            rho, low, high = (np.array([float(c[k]) for c in cells]) for k in ("rho", "rho_low", "rho_high"))
            axes.hlines(rows + shift, low, high, color=colour, lw=1.6)
            axes.plot(rho, rows + shift, color=colour, marker=marker, lw=0, ms=5, label=label)
        axes.axvline(0, color=INK, lw=0.8)
        axes.axhline(len(names) - 0.5, color=ASIDE_COLOUR, lw=0.8)
        axes.set(title=f"{told} ({int(part['n_tokens']):,})", xlabel="rank correlation with log frequency")
        axes.set(xticks=np.linspace(-1, 1, 5), xlim=(-1.05, 1.05), ylim=(len(pairs) - 0.5, -0.5))
    first.set_yticks(rows, labels)
    second.set_yticks(rows, [])
    handles, shown = first.get_legend_handles_labels()
    figure.legend(handles, shown, ncols=3, frameon=False, loc="outside upper center")
    _draw_channels(third, frequency)
    own = frequency["unique_share"].sel({TOKEN_SET: SEEN})
    shares = ", ".join(
        f"{name} {in_interval(float(own.sel({FEATURE: name})), form='.1%')}" for name in (LENGTH, SVD_0, MEAN)
    )
    figure.supxlabel(
        f"Bars: {_interval(frequency)}. The last row is norm with SVD 0, not with frequency.\n"
        f"Share of the variance of ranks that no mixture of the other features has, seen tokens: {shares}.",
        fontsize="small",
    )
    return figure


def _draw_channels(axes: Axes, frequency: xr.Dataset) -> None:
    """Where the outlying channels rank among all, by size of their correlation with frequency."""
    size = abs(frequency["channel_rho"].sel({TOKEN_SET: SEEN})).values
    order = np.argsort(-size)
    rank = np.empty(len(size), int)
    rank[order] = np.arange(1, len(size) + 1)
    axes.plot(np.arange(1, len(size) + 1), size[order], color=ASIDE_COLOUR, lw=1.4, label="every channel")
    role = frequency["channel_role"].values
    for kind, colour in ROLE_COLOURS.items():
        members = np.flatnonzero(role == kind)
        axes.plot(
            rank[members],
            size[members],
            "o",
            color=colour,
            ms=7,
            label=f"{kind} gain" if kind == "outlier" else "control",
        )
    for place, channel in enumerate(sorted(np.flatnonzero(np.isin(role, list(ROLE_COLOURS))), key=rank.item)):
        axes.annotate(  # three heights in turn, for those that are near each other
            str(channel),
            (rank[channel], size[channel]),
            xytext=(5, (4, -14, 17)[place % 3]),
            textcoords="offset points",
            fontsize="small",
        )
    axes.set(
        xlabel=f"channels, ordered (of {frequency.sizes[CHANNEL]:,})",
        ylabel="|rank correlation| with log frequency",
        title="single channels, tokens that were seen",
        ylim=(0, None),
    )
    axes.legend(fontsize="small", loc="upper right")


def _candidates(frequency: xr.Dataset) -> list[str]:
    return [name for name in frequency[FEATURE].values if name != LOG_FREQUENCY]


def _title(frequency: xr.Dataset, name: str, short: bool = False) -> str:
    role = str(frequency["role"].sel({FEATURE: name}).values)
    if not role:
        return name
    if role == "control" or short:
        return f"{name}, {role}"
    share = float(frequency["outlying_share"][int(name.removeprefix("channel "))])
    return f"{name}, an outlier in {share:.0%} of norms"


def _told(frequency: xr.Dataset, name: str) -> str:
    told = []
    for chosen, label in ((SEEN, "seen"), (ALL, "all")):
        cell = frequency.sel({TOKEN_SET: chosen, FEATURE: LOG_FREQUENCY, OTHER: name, GIVEN: NOTHING})
        told.append(f"{label}: ρ = {estimate(cell, 'rho')}")
    return "\n".join(told)


def _interval(frequency: xr.Dataset) -> str:
    told = frequency.attrs
    return f"{told['interval']:.0%} intervals, {told['resamples']:,} resamples of tokens"


def _sizes(frequency: xr.Dataset) -> str:
    seen, every = (int(frequency["n_tokens"].sel({TOKEN_SET: chosen})) for chosen in (SEEN, ALL))
    return f"{seen:,} tokens were seen, of {every:,}."
