"""Models side by side, layer by layer: attention on the first position, and the gain that stands out most."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from strata.attention.names import HEADS
from strata.embedding.names import NORM
from strata.figures.curves import marks
from strata.figures.style import ASIDE_COLOUR, as_written, line_looks, new_figure
from strata.names import ALL, CATEGORY, CHANNEL, LAYER, SITE


def draw_layers(
    attention: Mapping[str, xr.Dataset], in_text: Mapping[str, xr.Dataset], gains: Mapping[str, xr.Dataset]
) -> Figure:
    """By share of depth, one line a model.

    Left: the final token's attention on the first position, mean over heads and prompts; middle: that of
    a text's tokens, mean over heads. Right: the log gain of the channel that is an outlier in the most norms,
    less the median channel's, mean over the norms of a layer.

    Parameters
    ----------
    attention, in_text, gains : name of a model to its attention.nc, attention_text.nc, embedding/gains.nc
    """
    figure = new_figure(13.5, 4.6)
    asked, text, gain = figure.subplots(1, 3)
    for name, look in line_looks(attention).items():
        at, label = attention[name].sel({CATEGORY: ALL, SITE: "first"}), name
        if "log_gain" in gains[name]:
            channel, sizes = standing_out(gains[name])
            _draw(gain, [sizes], look)
            label += f" (channel {channel})"
        _draw(asked, [at[f"attention{end}"] for end in ("", "_low", "_high")], look | {"label": label})
        at = in_text[name].sel({HEADS: "mean"})
        _draw(text, [at[f"first_of_heads_in_text{end}"] for end in ("", "_low", "_high")], look)
    for axes, title in ((asked, "final token of prompts"), (text, "tokens of a text")):
        axes.set(
            ylim=(0, 1.02), title=f"attention on the first position: {title}", ylabel="share of attention"
        )
    gain.axhline(0, color=ASIDE_COLOUR, lw=0.8)
    gain.set(title="the gain that stands out in most norms", ylabel="ln gain, less the median channel's")
    for axes in (asked, text, gain):
        axes.set_xlabel("share of depth: layer / (L − 1)")
    handles, labels = asked.get_legend_handles_labels()
    as_written(figure.legend(handles, labels, frameon=False, ncols=4, loc="outside upper center"))
    figure.supxlabel(
        "bands: 95 % intervals over prompts or documents; channel: whose gain is drawn on the right",
        fontsize="small",
    )
    return figure


def standing_out(gains: xr.Dataset) -> tuple[int, xr.DataArray]:
    """The channel whose gain is an outlier in the most norms, and how far it stands out by layer.

    Its ln gain (layer) less the median channel's, mean over norms. Of several, the first.
    """
    channel = int(gains["outlier_layers"].argmax(CHANNEL))
    beyond = gains["log_gain"] - gains["log_gain"].median(CHANNEL)
    return channel, beyond.isel({CHANNEL: channel}).mean(NORM)


def _draw(axes: Axes, values: list[xr.DataArray], look: Mapping[str, str]) -> None:
    """A line over layers, and the band from low to high, where they are given."""
    mean, *ends = values
    depth = mean[LAYER].values / max(mean.sizes[LAYER] - 1, 1)
    axes.plot(depth, mean, ms=3.5, lw=1.6, markevery=marks(range(mean.sizes[LAYER])), **look)
    if ends and np.isfinite(ends[0]).any():
        axes.fill_between(depth, *ends, color=look["color"], alpha=0.18, lw=0)
