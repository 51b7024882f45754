"""Maps of layer by head, shared by the figures of attention."""

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from strata.figures.curves import thinned
from strata.figures.style import NO_VALUE_COLOUR, SEQUENTIAL, ink_on, new_figure
from strata.names import HEAD, LAYER

MAX_NUMBERED = 128  # cells of a map that still have room for a number,
MAX_NUMBERED_LAYERS = 20  # if no more are in a row
HEAT_TICKS = (0, 0.05, 0.2, 0.4, 0.6, 0.8, 1)  # of a square-root scale of shares


def new_maps(data: xr.Dataset, n: int, height_of_first: float | None = None) -> tuple[Figure, np.ndarray]:
    """A figure of ``n`` maps of layer by head, one above the other; the first may be another panel."""
    width, height = size_of_map(data)
    heights = [height] * n
    if height_of_first is not None:
        heights[0] = height_of_first
    figure = new_figure(width, 0.9 + sum(heights))
    panels = figure.subplots(n, 1, sharex=True, height_ratios=heights)
    for axes in panels:
        set_layers(axes, data[LAYER].values)
        axes.set_xlabel("")
    return figure, panels


def size_of_map(data: xr.Dataset) -> tuple[float, float]:
    """Width and height of a map of layer by head, in inches."""
    width = float(np.clip(2.2 + 0.62 * data.sizes[LAYER], 7, 13))
    return width, max(1.5, 0.15 * data.sizes[HEAD] + 0.6)


def draw_map(axes: Axes, values: xr.DataArray, norm: Normalize, colours: str = SEQUENTIAL) -> AxesImage:
    """A map of layer by head, with numbers in the cells where there is room."""
    cells = values.transpose(HEAD, LAYER).values
    cmap = matplotlib.colormaps[colours].with_extremes(bad=NO_VALUE_COLOUR)
    image = axes.imshow(cells, aspect="auto", origin="lower", cmap=cmap, norm=norm, interpolation="nearest")
    if _has_room(values):
        shades = image.to_rgba(np.ma.masked_invalid(cells))
        for head, layer in np.ndindex(cells.shape):
            told = f"{cells[head, layer]:z.2f}".replace("0.", ".") if np.isfinite(cells[head, layer]) else ""
            look = {"ha": "center", "va": "center", "fontsize": 8, "color": ink_on(shades[head, layer])}
            axes.text(layer, head, told, **look, in_layout=False)
    axes.set_yticks(thinned(values[HEAD].values))
    axes.set_ylabel("head")
    axes.grid(False)
    return image


def mark_heads(axes: Axes, marked: xr.DataArray) -> None:
    """A dot in the cells of some heads, next to the number where there is one."""
    head, layer = np.nonzero(marked.transpose(HEAD, LAYER).values)
    numbered = _has_room(marked)
    place = (layer + 0.38, head + 0.3) if numbered else (layer, head)
    axes.scatter(*place, s=8 if numbered else 3, color="black", lw=0)


def _has_room(values: xr.DataArray) -> bool:
    """Whether a map's cells (layer, head) have room for numbers."""
    return values.size <= MAX_NUMBERED and values.sizes[LAYER] <= MAX_NUMBERED_LAYERS


def set_layers(axes: Axes, layers: np.ndarray) -> None:
    axes.set_xlabel("layer")
    axes.set_xticks(thinned(layers))
