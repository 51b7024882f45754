"""Figures of attention over text (`strata.attention.over_text`, `long_text`), and of outsized channels."""

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from strata.figures.curves import draw_curve, set_log_scale, thinned
from strata.figures.head_maps import HEAT_TICKS, draw_map, new_maps
from strata.figures.style import (
    LINE_COLOURS,
    NO_VALUE_COLOUR,
    SEQUENTIAL,
    line_looks,
    new_figure,
)
from strata.names import CHANNEL, CHANNEL_SET, DEPTH, HEAD, LAYER, POSITION

CHANNEL_SETS = {
    "norm1_gain": "outlier gain\nbefore attention",
    "norm2_gain": "outlier gain\nbefore the MLP",
    "position": "active in position\nembedding",
}
MAX_NAMED = 8  # outsized channels with a colour of their own


def draw_first_by_position(in_text: xr.Dataset) -> Figure:
    """Attention on the first position against the query's: a line a layer, means over heads, with bands.

    Parameters
    ----------
    in_text : Dataset
        What `strata.attention.long_text.first_by_position` returns is among it; so for the next.
    """
    in_text = in_text.load()
    figure = new_figure(11, 5.6)
    linear, log = panels = figure.subplots(1, 2)
    position, layers = in_text[POSITION].values, in_text[LAYER].values
    for layer, colour in zip(layers, _shades(layers), strict=True):
        at = in_text.sel({LAYER: layer})
        curves = [at[f"first_of_layer{end}"].to_series() for end in ("", "_low", "_high")]
        draw_curve(linear, *curves, color=colour, lw=1.2)
        log.plot(position, curves[0], color=colour, lw=1.2)
    for axes in panels:
        axes.plot(position, 1 / (position + 1), color="black", ls="--", lw=1.2, label="spread evenly")
        axes.set_xlabel("position of the query (tokens)")
    linear.set(ylabel="attention on the first position\n(share)", ylim=(0, 1.02), title="linear")
    linear.legend(frameon=False, loc="upper right")
    log.set_title("the same on a log scale")
    set_log_scale(log)
    scale = ScalarMappable(Normalize(layers.min(), layers.max()), SEQUENTIAL)
    figure.colorbar(scale, ax=list(panels), label="layer", pad=0.01)
    told = f"means over heads and {int(in_text['first_of_layer_n'])} samples"
    figure.supxlabel(f"{told}; bands: bootstrap intervals over samples", fontsize="small")
    return figure


def draw_first_by_position_heads(in_text: xr.Dataset) -> Figure:
    """The same for every head: a panel for each head's number, position by layer."""
    n_heads = in_text.sizes[HEAD]
    columns = int(np.ceil(np.sqrt(n_heads)))
    rows = -(-n_heads // columns)
    figure = new_figure(1.6 + max(2.2, 8.8 / columns) * columns, 0.8 + max(1.9, 5.6 / rows) * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    position, layers = in_text[POSITION].values, in_text[LAYER].values
    norm = PowerNorm(0.5, 0, 1)
    edges = position[0] - 0.5, position[-1] + 0.5, layers[0] - 0.5, layers[-1] + 0.5
    for axes, head in zip(panels.flat, in_text[HEAD].values, strict=False):
        values = in_text["first_by_position"].sel({HEAD: head}).transpose(LAYER, POSITION)
        look = {"aspect": "auto", "origin": "lower", "interpolation": "nearest"}
        image = axes.imshow(values, cmap=SEQUENTIAL, norm=norm, extent=edges, **look)
        axes.set_title(f"head {head}")
        axes.set_yticks(thinned(layers, 7))
        axes.grid(False)
    for axes in panels.flat[n_heads:]:
        axes.set_axis_off()
    figure.supxlabel("position of the query (tokens)", fontsize="medium")
    figure.supylabel("layer", fontsize="medium")
    bar = figure.colorbar(
        image, ax=panels, label="attention on the first position (share), square-root scale", pad=0.01
    )
    bar.set_ticks(HEAT_TICKS)
    return figure


def draw_variability(in_text: xr.Dataset) -> Figure:
    """Attention variability of every head, over all that it attends to and over all but the first token.

    Parameters
    ----------
    in_text : Dataset
        What `strata.attention.over_text.variability` returns is among it.
    """
    names = {
        "variability": "all of a head's attention",
        "variability_beyond_first": "without attention on the first token",
    }
    figure, panels = new_maps(in_text, len(names))
    highest = max(float(in_text[name].max()) for name in names)
    for axes, (name, title) in zip(panels, names.items(), strict=True):
        image = draw_map(axes, in_text[name], Normalize(0, highest))
        axes.set_title(title)
    panels[-1].set_xlabel("layer")
    label = "attention variability\n(0: position alone decides)"
    figure.colorbar(image, ax=panels, label=label, pad=0.01, aspect=30)
    n_first, n = in_text.attrs["n_first"], int(in_text["n_texts"])
    figure.suptitle(f"first {n_first} positions of {n:,} texts", fontsize="medium")
    return figure


def draw_outsized(in_text: xr.Dataset) -> Figure:
    """Channels with outsized values at the first position, and what else they are.

    Left, every channel's mean |h| there, the median channel being 1; middle, the same over that at other
    positions; right, overlap with the sets of channels known from the weights, and with as many channels
    drawn at random.

    Parameters
    ----------
    in_text : Dataset
        What `strata.attention.over_text.over_text` and `outsized_channels` return is among it.
    """
    figure = new_figure(15, 5.2)
    panels = figure.subplots(1, 3, width_ratios=(1.2, 1.2, 1))
    first, ratio = in_text["magnitude_first"], in_text["relative_magnitude"]
    sizes = first / first.median(CHANNEL), ratio / ratio.median(CHANNEL)
    often = in_text["outsized"].sum(DEPTH).values
    order = np.lexsort((-sizes[0].max(DEPTH).values, -often))
    named = [c for c in order if often[c]][:MAX_NAMED]
    looks = line_looks([str(in_text[CHANNEL].values[c]) for c in named])
    limits = in_text.attrs["among_channels"], in_text.attrs["among_positions"]
    titles = (
        "mean |h| at position 0\n(median channel = 1)",
        "mean |h| at position 0 over that at others\n(median channel = 1)",
    )
    depths = first[DEPTH].values
    for axes, size, limit, title in zip(panels, sizes, limits, titles, strict=False):
        values = size.transpose(DEPTH, CHANNEL).values
        quiet = np.setdiff1d(np.arange(values.shape[1]), named)
        axes.plot(depths, values[:, quiet], color=NO_VALUE_COLOUR, lw=0.5, rasterized=True)
        for channel, (name, look) in zip(named, looks.items(), strict=True):
            axes.plot(depths, values[:, channel], **look, ms=4, lw=1.5, label=_channel_label(in_text, name))
        axes.axhline(limit, color="black", ls="--", lw=1)
        axes.set(yscale="log", title=title)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylim(max(values.min(), values.max() / 1e4) / 1.5, values.max() * 1.5)
        axes.set_xticks(thinned(depths), thinned(depths))
        axes.set_xlabel("depth (blocks applied)")
    if named:
        figure.legend(
            *panels[0].get_legend_handles_labels(), ncols=4, frameon=False, loc="outside upper left"
        )
    _draw_overlap(panels[2], in_text)
    return figure


def _channel_label(in_text: xr.Dataset, name: str) -> str:
    short = {"norm1_gain": "norm 1", "norm2_gain": "norm 2", "position": "position"}
    member = in_text["in_set"].sel({CHANNEL: int(name)})
    sets = [told for s, told in short.items() if bool(member.sel({CHANNEL_SET: s}))]
    return f"channel {name}" + (f" ({', '.join(sets)})" if sets else "")


def _draw_overlap(axes: Axes, in_text: xr.Dataset) -> None:
    n_outsized = int(in_text["outsized_overall"].sum())
    for place, name in enumerate(CHANNEL_SETS):
        at = in_text.sel({CHANNEL_SET: name})
        n_set, found, expected = (
            int(at["in_set"].sum()),
            int(at["n_overlap_overall"]),
            float(at["n_expected_overall"]),
        )
        axes.bar(place - 0.2, found, 0.4, color=LINE_COLOURS[0], label="observed" if not place else None)
        axes.bar(place + 0.2, expected, 0.4, color=NO_VALUE_COLOUR, label="by chance" if not place else None)
        told = f"{found} of {n_set}" + (
            f"\np = {float(at['p_overlap_overall_adjusted']):.2g}" if n_set and n_outsized else ""
        )
        axes.annotate(
            told,
            (place, max(found, expected)),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize="small",
        )
    axes.set_xticks(range(len(CHANNEL_SETS)), list(CHANNEL_SETS.values()), fontsize="small")
    axes.set(ylabel="channels", title=f"the {n_outsized} outsized channels among known ones")
    axes.set_ylim(0, max(2.0, 1.35 * float(in_text["n_overlap_overall"].max())))
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="x", visible=False)
    axes.legend(frameon=False, fontsize="small", loc="upper right")
    told = f"in at least {in_text.attrs['share']:.0%} of depths, or of layers"
    axes.set_xlabel(f"{told}\n{in_text.attrs['position_set']}", fontsize="small")


def _shades(layers: np.ndarray) -> np.ndarray:
    return matplotlib.colormaps[SEQUENTIAL]((layers - layers.min()) / max(np.ptp(layers), 1))
