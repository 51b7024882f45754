"""Figure of what becomes of channels with outlying gains (`strata.embedding.outlier_channels`)."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from strata.embedding.names import PART
from strata.figures.curves import thinned
from strata.figures.style import ASIDE_COLOUR, LINE_COLOURS, SEQUENTIAL, line_looks, new_figure, new_notice
from strata.names import CHANNEL, HEAD, LAYER

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
    figure = new_figure(13, 11)
    above, below = figure.subfigures(2, 1, height_ratios=(2, 1.1))
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
    """By layer, a column a channel: where sub-blocks' weights, and heads', stand among all channels."""
    panels = figure.subplots(2, len(channels), squeeze=False, sharey="row")
    layers = np.arange(outliers.sizes[LAYER])
    for (lines, heads), channel in zip(panels.T, channels, strict=True):
        at = outliers.sel({CHANNEL: channel})
        for part, look in line_looks(outliers[PART].values).items():
            lines.plot(layers, at["slice_percentile"].sel({PART: part}), ms=3.5, lw=1.4, label=part, **look)
        lines.set(title=f"channel {channel}", ylim=(-3, 103), xticks=thinned(layers))
        image = heads.imshow(
            at["head_percentile"].transpose(HEAD, LAYER), SEQUENTIAL, vmin=0, vmax=100, aspect="auto"
        )
        heads.grid(False)
        heads.set(xlabel="layer", xticks=thinned(layers), yticks=thinned(np.arange(outliers.sizes[HEAD])))
    panels[0, 0].set_ylabel("percentile among channels")
    panels[1, 0].set_ylabel("head, writing")
    figure.colorbar(image, ax=list(panels[1]), label="percentile", aspect=12)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=4, frameon=False, loc="outside upper center")


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
    axes.set_ylim(place - 0.5, -0.5)
    axes.axvline(0, color="black", lw=0.8)
