"""Figure of what becomes of channels with outlying gains (`strata.embedding.outlier_channels`)."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from strata.embedding.names import DIRECTION, PART, READING
from strata.figures.curves import thinned
from strata.figures.style import ASIDE_COLOUR, LINE_COLOURS, SEQUENTIAL, line_looks, new_figure, new_notice
from strata.names import CHANNEL, HEAD, LAYER, K

ROLES = {"outlier": LINE_COLOURS[1], "control": LINE_COLOURS[2], "random": ASIDE_COLOUR}


def draw_outlier_channels(outliers: xr.Dataset) -> Figure:
    """Who reads and writes each outlying channel, and what all of them do to the logits.

    Parameters
    ----------
    outliers : Dataset
        As `strata.embedding.outlier_channels.follow` returns it. A line where no channel is outlying.
    """
    outliers = outliers.load()
    channels = np.flatnonzero(outliers["role"].values == "outlier")
    if not len(channels):
        return new_notice("No channel of this model has gains that are outliers.")
    figure = new_figure(14, 14.5)
    above, below = figure.subfigures(2, 1, height_ratios=(3, 1.1))
    _draw_weights(above, outliers, channels)
    first, *changes = below.subplots(1, 3, width_ratios=(1.3, 1, 1))
    _draw_direct(first, outliers, channels)
    for axes, name in zip(changes, ("loss", "entropy"), strict=True):
        _draw_change(axes, outliers, f"{name}_change")
        axes.set(
            xlabel=f"change of {name} (nats a token)", title=f"{name} {float(outliers[name]):.2f} untouched"
        )
    interval, n = outliers.attrs["interval"], int(outliers["loss_change_n"])
    below.supxlabel(
        f"Right: a channel set to its mean before the final norm; {int(outliers['n_tokens']):,} tokens of "
        f"{n} held-out documents. Bars: {interval:.0%} intervals, over documents (right) or tokens (left).",
        fontsize="small",
    )
    return figure


def _draw_weights(figure: SubFigure, outliers: xr.Dataset, channels: np.ndarray) -> None:
    """By layer, a column a channel: where weights of sub-blocks, MLP keys and heads stand among all."""
    of_heads = _of_heads(outliers)
    heights = (1.3, 1, max(1.6, 0.06 * of_heads.sizes[HEAD]), 0.8)
    panels = figure.subplots(4, len(channels), squeeze=False, sharey="row", height_ratios=heights)
    layers = np.arange(outliers.sizes[LAYER])
    chance = outliers.attrs["top_channels"] / outliers.sizes[CHANNEL]
    for (lines, keys, heads, strongest), channel in zip(panels.T, channels, strict=True):
        at = outliers.sel({CHANNEL: channel})
        for part, look in line_looks(outliers[PART].values).items():
            lines.plot(layers, at["slice_percentile"].sel({PART: part}), ms=3.5, lw=1.4, label=part, **look)
        lines.set(title=f"channel {channel}", ylim=(-3, 103), xticks=thinned(layers))
        # The looks of what MLPs read and write.
        for direction, look in zip(outliers[DIRECTION].values, _of_mlps(outliers), strict=True):
            keys.plot(layers, at["keys_at_top"].sel({DIRECTION: direction}), ms=3.5, lw=1.4, **look)
        keys.axhline(chance, color=ASIDE_COLOUR, ls=":", lw=1.4, label="MLP keys, if all channels were alike")
        keys.set(xticks=thinned(layers))
        cells = of_heads.sel({CHANNEL: channel}).transpose(HEAD, LAYER)
        image = heads.imshow(cells, SEQUENTIAL, vmin=0, vmax=100, aspect="auto", interpolation="nearest")
        _divide(heads, outliers.sizes[HEAD], [*outliers[READING].values, "write"])
        heads.set(xlabel="layer", xticks=thinned(layers))
        strongest.set_axis_off()
        told = "\n".join(_strongest(at))
        look = {"va": "top", "fontsize": 8, "linespacing": 1.5, "in_layout": False}
        strongest.text(0, 1, told, transform=strongest.transAxes, **look)
    panels[0, 0].set_ylabel("percentile\namong channels")
    panels[1, 0].set_ylabel(f"share of keys with it\namong their {outliers.attrs['top_channels']} largest")
    panels[2, 0].set_ylabel("heads")
    figure.colorbar(image, ax=list(panels[2]), label="percentile", aspect=15)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    chances, named = panels[1, 0].get_legend_handles_labels()
    figure.legend(handles + chances, labels + named, ncols=5, frameon=False, loc="outside upper center")


def _of_mlps(outliers: xr.Dataset) -> list[dict[str, str]]:
    return [look for part, look in line_looks(outliers[PART].values).items() if part.startswith("MLP")]


def _of_heads(outliers: xr.Dataset) -> xr.DataArray:
    """Percentiles of what heads make queries, keys and values of, and of what they write, stacked."""
    kinds = [outliers["head_read_percentile"].sel({READING: r}, drop=True) for r in outliers[READING].values]
    return xr.concat([*kinds, outliers["head_percentile"]], HEAD)


def _divide(axes: Axes, n_heads: int, kinds: Sequence[str]) -> None:
    """Lines between the kinds of rows, of ``n_heads`` each, and their names."""
    for edge in range(1, len(kinds)):
        axes.axhline(edge * n_heads - 0.5, color="white", lw=2)
    middles = [n_heads * (place + 0.5) - 0.5 for place in range(len(kinds))]
    axes.set_yticks(middles, kinds, fontsize="small")
    axes.grid(False)


def _strongest(at: xr.Dataset, n_heads: int = 3, n_keys: int = 2) -> list[str]:
    """The heads and MLP keys that read and write a channel most, as "layer.number", in words."""

    def heads(percentile: xr.DataArray) -> str:
        each = percentile.stack(of=(LAYER, HEAD)).dropna("of").sortby("of")
        order = np.argsort(-each.values, kind="stable")[:n_heads]
        return ", ".join(
            f"{each['of'].values[i][0]}.{each['of'].values[i][1]} ({each.values[i]:.0f})" for i in order
        )

    def keys(direction: str) -> str:
        own = at[["top_key", "top_key_share", "top_key_percentile"]].sel({DIRECTION: direction})
        each = own.stack(of=(LAYER, K)).dropna("of")
        order = np.argsort(-each["top_key_share"].values, kind="stable")[:n_keys]
        found = each.isel(of=order)
        rows = zip(found[LAYER].values, found["top_key"].values, found["top_key_share"].values, strict=True)
        return ", ".join(f"{layer}.{key} ({share:.0%})" for layer, key, share in rows)

    reads = {f"{r} heads": heads(at["head_read_percentile"].sel({READING: r})) for r in at[READING].values}
    told = reads | {"heads write": heads(at["head_percentile"])}
    told |= {f"keys {d.removesuffix('s')}": keys(d) for d in at[DIRECTION].values}
    return [f"{name}: {each or 'unknown'}" for name, each in told.items()]


def _draw_direct(axes: Axes, outliers: xr.Dataset, channels: np.ndarray) -> None:
    """Correlations of all channels' direct parts of the logits with log frequency, the outlying ones told."""
    axes.hist(outliers["direct_rho"].dropna(CHANNEL), np.linspace(-1, 1, 41), color=ASIDE_COLOUR, alpha=0.5)
    top = axes.get_ylim()[1]
    for place, channel in enumerate(channels):
        at = outliers.sel({CHANNEL: channel})
        rho, low, high = (float(at[f"direct_rho{end}"]) for end in ("", "_low", "_high"))
        y = top * (1.1 + 0.13 * place)
        axes.errorbar(rho, y, xerr=[[rho - low], [high - rho]], color=ROLES["outlier"], fmt="o", ms=5)
        axes.annotate(f"{channel}", (high, y), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set(xlim=(-1, 1), ylim=(0, top * (1.15 + 0.13 * len(channels))), ylabel="channels")
    axes.set_xlabel("rank correlation with log frequency")
    axes.set_title("what a channel adds to the logits")


def _draw_change(axes: Axes, outliers: xr.Dataset, name: str) -> None:
    """The change that each silenced channel makes, outlying ones first."""
    role = outliers["role"].values
    labels, place = [], 0
    for kind, colour in ROLES.items():
        for channel in np.flatnonzero(role == kind):
            at = outliers.sel({CHANNEL: channel})
            value, low, high = (float(at[f"{name}{end}"]) for end in ("", "_low", "_high"))
            axes.plot([low, high], [place] * 2, color=colour, lw=2)
            axes.plot(value, place, color=colour, marker="o", ms=5)
            labels.append(f"{channel}, {kind}")
            place += 1
    axes.set_yticks(range(place), labels, fontsize="x-small")
    axes.locator_params(axis="x", nbins=5)
    axes.set_ylim(place - 0.5, -0.5)
    axes.axvline(0, color="black", lw=0.8)
