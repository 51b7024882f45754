"""Axes, panels and words that the figures of traces share."""

from collections.abc import Iterable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from strata.figures.curves import thinned
from strata.figures.style import SITE_COLOURS, new_notice
from strata.names import DEPTH, LAYER, NOISE, SITE
from strata.trace.names import NOT_TRACED

SITE_LABELS = {"subject": "subject token", "final": "final token"}
AXIS_LABELS = {DEPTH: "depth of the restored state", LAYER: "layer of the restored window"}
RESTORATION = "restoration (0 corrupted, 1 clean)"
GREY = "#555555"


def axis_of(data: xr.Dataset) -> str:
    """The dimension along which states or windows were restored."""
    return LAYER if LAYER in data.dims else DEPTH


def label_axis(axes: Axes, at: np.ndarray, axis: str, most: int = 12) -> None:
    """At most so many ticks, and the label, of the axis of depths or layers."""
    axes.set_xticks(thinned(at, most))
    axes.set_xlim(at[0] - 0.5, at[-1] + 0.5)
    axes.set_xlabel(AXIS_LABELS[axis])


def image_extent(at: np.ndarray, n_rows: int) -> tuple[float, float, float, float]:
    """Extent of an image whose columns are centred on their depths, rows from the top."""
    return at[0] - 0.5, at[-1] + 0.5, n_rows - 0.5, -0.5


def noise_name(level: str, data: xr.Dataset | None = None) -> str:
    """A level in words: a standard deviation ("0.5"), a multiple of the embeddings' own ("3x"), or
    what was done instead of noise ("replaced")."""
    times = str(level).removesuffix("x")
    if not times[:1].isdigit():
        return f"subject {level}"
    if times == str(level):
        return f"noise sd {level}"
    known = data is not None and "noise_sd" in data
    measured = f" = {float(data['noise_sd'].sel({NOISE: level})):.2g}" if known else ""
    return f"noise {times} × embedding sd{measured}"


def notice_of_untraced(pieces: xr.Dataset) -> Figure | None:
    """What stands in the place of a figure of pieces that the configuration has no prompts traced for."""
    if NOT_TRACED not in pieces.attrs:
        return None
    return new_notice(
        f"{pieces.attrs[NOT_TRACED]} are not traced: trace.parts in config.yaml leaves them out."
    )


def category_name(category: str) -> str:
    """A category as figures spell it."""
    return str(category).replace("_", " ")


def count(cell: xr.Dataset) -> str:
    """How many prompts an average is over, and how many noise took too little from."""
    left_out = int(cell["n_excluded"])
    return f"n = {int(cell['n_prompts'])}" + (f", {left_out} left out" if left_out else "")


def say_if_empty(axes: Axes, cell: xr.Dataset) -> None:
    """A line in a panel that has no prompts."""
    if not int(cell["n_prompts"]):
        too_little = "noise took too little\nfrom every prompt"
        text = too_little if int(cell["n_excluded"]) else "no prompt has this"
        paper = {"facecolor": "white", "alpha": 0.8, "lw": 0}
        look = {"ha": "center", "va": "center", "fontsize": "small", "bbox": paper}
        axes.text(0.5, 0.5, text, transform=axes.transAxes, **look)


def folded(names: Iterable[str]) -> tuple[int, dict[str, tuple[int, int]]]:
    """Panels three abreast: how many columns, and the row and column of each (a noise level, say)."""
    names = list(names)
    columns = min(3, len(names))
    return columns, {name: divmod(i, columns) for i, name in enumerate(names)}


def hide_empty(panels: np.ndarray) -> None:
    """Panels in which nothing is drawn do not show."""
    for axes in panels.flat:
        axes.set_visible(axes.has_data())


def shared_legend(figure: Figure, panels: np.ndarray, title: str) -> None:
    """The labels of all panels, each once, above them."""
    keys = {}
    for axes in panels.flat:
        keys |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    columns = min(4, len(keys)) or 1
    figure.legend(keys.values(), keys, title=title, frameon=False, ncols=columns, loc="outside upper center")


def bands_told(data: xr.Dataset) -> str:
    """What the bands of a figure are."""
    return f"bands: {data.attrs['interval']:.0%} bootstrap intervals"


def draw_band(
    axes: Axes,
    x: xr.DataArray,
    mean: xr.DataArray,
    low: xr.DataArray,
    high: xr.DataArray,
    colour,
    name,
    dashes: str = "-",
) -> None:
    """A line in its interval."""
    marker = {"marker": "o", "ms": 3} if np.isfinite(mean).sum() == 1 else {}  # a line of one point
    axes.plot(x, mean, color=colour, label=name, linestyle=dashes, **marker)
    axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)


def restoration_limits(*averages: xr.Dataset) -> tuple[float, float]:
    """Ends of an axis that holds 0, 1 and every mean: restored, an answer can be likelier than clean."""
    return -0.1, max([1.1, *(1.05 * float(data["restoration"].max()) for data in averages)])


def draw_sites(axes: Axes, at: xr.Dataset, limits: tuple[float, float]) -> None:
    """Restoration of subject and final token of one category at one noise level; ``limits`` of y."""
    for site in at[SITE].values:
        line = at.sel({SITE: site})
        ends = line["restoration_low"], line["restoration_high"]
        draw_band(axes, at[axis_of(at)], line["restoration"], *ends, SITE_COLOURS[site], SITE_LABELS[site])
    axes.set_ylim(limits)
