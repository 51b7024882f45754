"""Figure of attention by distance, and of what positions explain of it (`strata.attention.by_distance`)."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from strata.attention.names import DISTANCE
from strata.figures.head_maps import draw_map, set_layers
from strata.figures.style import ASIDE_COLOUR, LINE_COLOURS, MARKERS, NO_VALUE_COLOUR, SEQUENTIAL, new_figure
from strata.names import HEAD, LAYER

SHOWN = 5
"""Heads whose logits are drawn."""

FAINTEST = 1e-4
"""Attention that has the darkest colour."""


def draw_by_distance(in_text: xr.Dataset) -> Figure:
    """Every head's attention by distance; logits of a few heads; what distance and rotation explain.

    The heads whose logits are drawn go from the one of which distance explains the most to the median one,
    in equal steps. Where attention adds no positions, as in models that learn them, no rotation is drawn.

    Parameters
    ----------
    in_text : Dataset
        What `strata.attention.by_distance.ByDistance.result` returns is among it.
    """
    figure = new_figure(13, 9)
    panels = figure.subplots(2, 2, height_ratios=(1.3, 1))
    _draw_attention(panels[0, 0], in_text)
    _draw_logits(panels[0, 1], in_text)
    by_distance, by_rotation = in_text["explained_by_distance"], in_text["explained_by_rotation"]
    both = by_rotation.notnull()
    for axes, values in zip(panels[1], (by_distance, by_rotation), strict=True):
        image = draw_map(axes, values, Normalize(0, 1))
        set_layers(axes, values[LAYER].values)
    panels[1, 0].set_title("share of a head's logits that distance explains")
    if both.any():
        of_it = float(by_rotation.sum() / by_distance.where(both).sum())
        panels[1, 1].set_title(f"share that rotation alone explains ({of_it:.0%} of it, over all heads)")
    else:
        panels[1, 1].set_title("rotation alone: attention itself adds no positions")
    figure.colorbar(image, ax=panels[1], label="share of variance", pad=0.01)
    return figure


def _draw_attention(axes: Axes, in_text: xr.Dataset) -> None:
    """Heads of all layers from bottom to top, by distance on a scale of logarithms."""
    attention = in_text["attention_by_distance"].transpose(LAYER, HEAD, DISTANCE)
    n_layers, n_heads, n_distances = attention.shape
    cells = np.ma.masked_equal(attention.values.reshape(-1, n_distances), 0)
    edges = np.arange(n_distances + 1) + 0.5, np.arange(len(cells) + 1) / n_heads - 0.5
    mesh = axes.pcolormesh(*edges, cells, cmap=SEQUENTIAL, norm=LogNorm(FAINTEST, 1), rasterized=True)
    axes.set_facecolor(NO_VALUE_COLOUR)
    _set_distances(axes, n_distances)
    axes.set(ylabel="layer (its heads from bottom to top)", title="mean attention of every head")
    axes.grid(False)
    axes.figure.colorbar(mesh, ax=axes, label="share of attention", pad=0.01, extend="min")


def _draw_logits(axes: Axes, in_text: xr.Dataset) -> None:
    """Mean logits of a few heads, and with a broken line what rotation alone makes of them."""
    heads = in_text.stack(of=(LAYER, HEAD)).dropna("of", subset=["explained_by_distance"])
    order = np.argsort(-heads["explained_by_distance"].values, kind="stable")
    order = order[: -(-len(order) // 2)]
    chosen = order[np.unique(np.linspace(0, len(order) - 1, SHOWN).round().astype(int))] if len(order) else []
    for colour, marker, index in zip(LINE_COLOURS, MARKERS, chosen, strict=False):
        head = heads.isel(of=index)
        distance = head[DISTANCE].values + 1
        layer, number = head["of"].item()
        told = f"layer {layer}, head {number}: {float(head['explained_by_distance']):.2f}"
        if np.isfinite(head["explained_by_rotation"]):
            told += f", rotation {float(head['explained_by_rotation']):.2f}"
            axes.plot(distance, head["logit_without_content"], color=colour, lw=1.3, ls="--")
        axes.plot(distance, head["logit_by_distance"], color=colour, lw=1.3, marker=marker, ms=4, label=told)
        ends = (head[f"logit_by_distance_{end}"] for end in ("low", "high"))
        axes.fill_between(distance, *ends, color=colour, alpha=0.2, lw=0)
    _set_distances(axes, in_text.sizes[DISTANCE])
    axes.axhline(0, color=ASIDE_COLOUR, lw=0.8)
    axes.set(ylabel="logit less its mean over distances (nat)")
    axes.set_title("mean logit of some heads; dashed: rotation alone")
    if len(chosen):
        axes.legend(frameon=False, fontsize="small", title="head: share explained by distance")


def _set_distances(axes: Axes, n_distances: int) -> None:
    """Distance 0 has a place too: what is on a scale of logarithms is the distance and one more."""
    ticks = [0, *(d for d in 2 ** np.arange(8) if d < n_distances)]
    axes.set_xscale("log")
    axes.set_xticks([d + 1 for d in ticks], ticks)
    axes.minorticks_off()
    axes.set(xlim=(0.7, n_distances + 0.5), xlabel="distance from query back to key (tokens)")
