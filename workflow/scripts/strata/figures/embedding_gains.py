"""Figures of the gains of the norms (`strata.embedding.gains`)."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from strata.embedding.channel_groups import group_names
from strata.embedding.names import NORM
from strata.figures.curves import thinned
from strata.figures.style import ASIDE_COLOUR, LINE_COLOURS, MARKERS, new_figure, new_notice
from strata.figures.told import estimate
from strata.names import CHANNEL, LAYER

NORM_NAMES = {"norm1_gain": "before attention", "norm2_gain": "before the MLP"}
LOWEST = -6.0  # log10 |gain|: what is smaller, a gain of 0 say, is drawn there
COLUMNS = 6


def draw_layers(gains: xr.Dataset, channels: xr.Dataset, table: pd.DataFrame, norm: str) -> Figure:
    """log10 |gain| of one norm of every layer against log10 of the spread over positions, per channel.

    Parameters
    ----------
    gains : Dataset
        As `strata.embedding.gains.describe` returns it.
    channels : Dataset
        As `strata.embedding.channels.describe` returns it.
    table : DataFrame
        As `strata.embedding.gains.outlier_table` returns it; its first channels are coloured, alike in
        every layer and both norms.
    norm : str
        One of `strata.embedding.names.NORMS`.
    """
    gains = gains.load()
    if "log_gain" not in gains:
        return new_notice(f"gains {gains.attrs['gains']}")
    if norm not in gains[NORM]:
        return new_notice(f"norm {NORM_NAMES[norm]}: the model has none with gains")
    if "position_std" not in channels:
        return new_notice(f"position embedding {channels.attrs['position_embedding']}")
    layers = gains[LAYER].values
    rows = -(-len(layers) // COLUMNS)
    figure = new_figure(13, 1.2 + 2.1 * rows)
    panels = figure.subplots(rows, COLUMNS, sharex=True, squeeze=False)
    with np.errstate(divide="ignore"):
        std = np.log10(channels["position_std"].values)
    looks = channel_looks(table)
    values = gains["log_gain"].sel({NORM: norm}).transpose(LAYER, CHANNEL).values
    values = np.maximum(values, LOWEST)
    for axes, layer, gain in zip(panels.flat, layers, values, strict=False):
        axes.scatter(std, gain, s=5, lw=0, color=ASIDE_COLOUR, alpha=0.7, rasterized=len(std) > 500)
        for channel, look in looks.items():
            axes.plot(std[channel], gain[channel], **look, ls="", ms=6, mec="white", mew=0.5, label=channel)
        if channels.attrs["two_groups"]:
            axes.axvline(float(channels["boundary"]), color="black", ls="--", lw=0.8)
        at = gains.sel({NORM: norm, LAYER: layer})
        axes.tick_params(axis="y", labelsize="x-small", pad=0)
        axes.set_title(f"layer {layer}: ρ {estimate(at, 'rho')}", fontsize="x-small")
    for axes in panels.flat[len(layers) :]:
        axes.set_axis_off()
    if looks:
        keys = panels[0, 0].get_legend_handles_labels()
        title = "channels that are an outlier in the most layers"
        figure.legend(*keys, title=title, ncols=len(looks), frameon=False, loc="outside upper center")
    figure.supylabel(f"log10 |gain| of the norm {NORM_NAMES[norm]}", fontsize="medium")
    interval = f"{gains.attrs['interval']:.0%} bootstrap interval over {len(std)} channels"
    figure.supxlabel(
        f"log10 of the standard deviation over positions; ρ: rank correlation [{interval}]", fontsize="medium"
    )
    return figure


def draw_summary(
    gains: xr.Dataset, channels: xr.Dataset, table: pd.DataFrame, n_channels: int = 20
) -> Figure:
    """The dial-down by layer, rank correlations by layer, and the outlier channels ranked over layers."""
    gains = gains.load()
    if "log_gain" not in gains:
        return new_notice(f"gains {gains.attrs['gains']}")
    has_positions = "rho" in gains
    figure = new_figure(12.5, 8 if has_positions else 4.5)
    if has_positions:
        top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.1))
        _draw_dial_down(top, gains, channels)
    else:
        bottom = figure
    axes = bottom.subplots()
    shown = table.head(n_channels)
    places = np.arange(len(shown))
    start = np.zeros(len(shown))
    for norm, colour in zip(gains[NORM].values, LINE_COLOURS, strict=False):
        counts = shown[f"outlier_layers_{norm}"].to_numpy(float)  # of no rows pandas knows no type
        axes.bar(places, counts, bottom=start, color=colour, label=f"norm {NORM_NAMES[norm]}")
        start += counts
    for place, row in zip(places, shown.itertuples(), strict=True):
        axes.annotate(
            f"p={row.p_adjusted:.1g}",
            (place, start[place]),
            (0, 2),
            textcoords="offset points",
            ha="center",
            fontsize="x-small",
        )
    axes.set_xticks(places, shown["channel"])
    axes.set(xlabel="channel", ylabel="norms in which its gain is an outlier (exact)")
    told = f"{len(table)} of {gains.sizes[CHANNEL]} channels are an outlier somewhere"
    axes.set_title(f"{told}; p: that some channel is one so often, outliers shuffled within layers")
    axes.set_ylim(0, 1.12 * max(start.max(initial=0), 1))
    axes.grid(False, axis="x")
    axes.legend(frameon=False, loc="upper right")
    if not has_positions:
        figure.suptitle(f"position embedding {channels.attrs['position_embedding']}", fontsize="medium")
    return figure


def channel_looks(table: pd.DataFrame, n: int = 5) -> dict[int, dict[str, str]]:
    """Colour and marker of the first few channels of the ranking."""
    return {
        int(channel): {"color": colour, "marker": marker}
        for channel, colour, marker in zip(table["channel"][:n], LINE_COLOURS, MARKERS, strict=False)
    }


def _draw_dial_down(figure, gains: xr.Dataset, channels: xr.Dataset) -> None:
    ratio, rho = figure.subplots(1, 2)
    layers = gains[LAYER].values
    for place, (norm, colour) in enumerate(zip(gains[NORM].values, LINE_COLOURS, strict=False)):
        at = gains.sel({NORM: norm})
        for axes, name in ((ratio, "ratio"), (rho, "rho")):
            x = layers + 0.16 * (place - 0.5)
            axes.vlines(x, at[f"{name}_low"], at[f"{name}_high"], color=colour, lw=1.6)
            axes.plot(x, at[name], color=colour, marker="o", ms=4, ls="", label=f"norm {NORM_NAMES[norm]}")
    ratio.axhline(1, color=ASIDE_COLOUR, lw=1)
    rho.axhline(0, color=ASIDE_COLOUR, lw=1)
    ratio.set(yscale="log", ylabel="median |gain|, {}\nover {}".format(*group_names(channels)))
    ticks = [
        t
        for t in (0.05, 0.1, 0.2, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 2, 5, 10)
        if ratio.get_ylim()[0] <= t <= ratio.get_ylim()[1]
    ]
    ratio.set_yticks(ticks, [f"{t:g}" for t in ticks])
    ratio.minorticks_off()
    told = ", ".join(
        f"{NORM_NAMES[n]} {estimate(gains.sel({NORM: n, LAYER: layers[0]}), 'ratio')}"
        for n in gains[NORM].values
    )
    ratio.set_title(f"layer {layers[0]}: {told}", fontsize="small")
    rho.set(ylabel="rank correlation of |gain| with\nthe std over positions", ylim=(-1, 1))
    rho.set_title(f"bars: {gains.attrs['interval']:.0%} bootstrap intervals over channels", fontsize="small")
    for axes in (ratio, rho):
        axes.set(xlabel="layer", xticks=thinned(layers))
        axes.legend(frameon=False, fontsize="small")
