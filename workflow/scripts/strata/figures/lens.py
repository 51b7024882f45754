"""Figures of the lens: one text depth by depth, what each sub-block adds, distance by category."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from strata.figures.points import robust_limits
from strata.figures.style import (
    ASIDE_COLOUR,
    NO_VALUE_COLOUR,
    SEQUENTIAL,
    fitted,
    ink_on,
    new_figure,
    notice_of_rejection,
    readable,
)
from strata.lens.names import PART
from strata.names import DEPTH, LAYER, POSITION, PROMPT, TOKEN, TOKEN_STR, K

BOX_COLOUR = "#D55E00"

CELL_WIDTH, BOX_INSET = 0.76, 0.03  # inches
LEFT, RIGHT, BELOW, ABOVE = 1.0, 1.2, 1.2, 1.6  # margins around the cells, inches
CELL_FONT_SIZE, BOX_LINE = 8.5, 1.8  # points
NORMS = {"whole": "whole final norm", "plain": "normalised without gain and bias"}
PARTS = {"attn": "attention", "mlp": "MLP"}


@dataclass(frozen=True)
class Colouring:
    """What the colour of a cell says, and on which scale.

    ``cap`` is where the scale ends, in ``unit``: what lies beyond looks like the cap. None: it spans
    what is drawn from depth 1 on. ``near``: the small values are the bright ones.
    """

    label: str
    values: Callable[[xr.Dataset], xr.DataArray]
    unit: str = ""
    scale: Literal["linear", "root", "log"] = "linear"
    cap: float | None = None
    ticks: tuple[float, ...] | None = None
    near: bool = False

    @property
    def caption(self) -> str:
        """The colour bar's label."""
        unit = f" [{self.unit}]" if self.unit else ""
        scale = {"linear": "", "root": ", square-root scale", "log": ", log scale"}[self.scale]
        return f"{self.label}{unit}{scale}"

    def norm(self, values: np.ndarray) -> Normalize:
        """The scale; ``values`` are what it has to span if it has no cap, but for those that lie far out."""
        if self.cap is None:
            return Normalize(*robust_limits(values.ravel()))
        return {
            "linear": Normalize(0, self.cap),
            "root": PowerNorm(0.5, 0, self.cap),
            "log": LogNorm(1, self.cap),
        }[self.scale]


def _top(lens: xr.Dataset, name: str) -> xr.DataArray:
    return lens[name].isel({K: 0})


def _probability(lens: xr.Dataset) -> xr.DataArray:
    return np.exp(_top(lens, "top_logprob").clip(max=0))


def _divergence(lens: xr.Dataset, of: str) -> xr.DataArray:
    return lens[f"kl_{of}"].clip(min=0)


def _rank_from_1(lens: xr.Dataset, of: str) -> xr.DataArray:
    rank = lens[f"rank_of_{of}"]
    return (rank + 1.0).where(rank >= 0)


# Divergences fall by orders of magnitude: on a square-root scale the step from 0 to 1 nat is as long
# as that from 16 to 25.
_KL = {"unit": "nat", "scale": "root", "cap": 30, "ticks": (0, 1, 3, 6, 10, 20, 30), "near": True}
_RANK = {"scale": "log", "ticks": (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000), "near": True}
_SHARE = {"cap": 1, "ticks": (0, 0.25, 0.5, 0.75, 1)}

COLOURINGS = {
    "logit": Colouring("logit of the top guess", partial(_top, name="top_logit")),
    "probability": Colouring("probability of the top guess", _probability, **_SHARE),
    "rank": Colouring("rank of the final top guess", partial(_rank_from_1, of="final"), cap=100, **_RANK),
    "kl_final": Colouring("KL(final ‖ depth)", partial(_divergence, of="final"), **_KL),
    "kl_input": Colouring("KL(input ‖ depth)", partial(_divergence, of="input"), **_KL),
    "input_rank": Colouring("rank of the input token", partial(_rank_from_1, of="input"), cap=1000, **_RANK),
}
"""Of the figures of nostalgebraist 2020 and of its extension notebook."""

_UPDATES = Colouring("rank of the true next token", partial(_rank_from_1, of="target"), cap=1000, **_RANK)


def decoded_by(lens: xr.Dataset) -> str:
    """Which decoder and which norm made a lens, for a title."""
    return f"{lens.attrs['decoder']} lens, {NORMS[lens.attrs['norm']]}"


# One text -----------------------------------------------------------------------------------


def draw_grid(
    lens: xr.Dataset,
    prompt: str,
    window: tuple[int, int],
    colouring: str = "logit",
    stride: int = 1,
    half_depths: bool = False,
    input_row: bool = True,
) -> Figure:
    """The lens over one text: position by depth, the top guess in each cell.

    Colour says what ``colouring`` names; a box marks the cells whose guess is the final one. Below
    are the input tokens, above the true next tokens, starred where the model was right
    (nostalgebraist 2020). Ranks count from 1.

    Parameters
    ----------
    lens : (depth, token, k), attributes ``decoder`` and ``norm``
    prompt : id of the prompt or passage drawn; of one that the lens lacks, it is said that it was rejected
    window : first position drawn, and one past the last; the model saw all of them
    colouring : a key of `COLOURINGS`
    stride : every how many whole depths a row is drawn; the last depth always has one
    half_depths : whether each whole depth d has d + ½ above it, after attention and before the MLP of
        the block that d enters, where the lens has it
    input_row : whether depth 0 is drawn, and with it the half-depth above

    Raises
    ------
    ValueError
        If none of the prompt's tokens lies in the window, there is no such colouring,
        or the stride is not a whole number above 0.
    """
    if colouring not in COLOURINGS:
        raise ValueError(f"colouring is one of {', '.join(COLOURINGS)}, not {colouring!r}")
    if prompt not in lens[PROMPT].values:
        return notice_of_rejection(prompt)
    lens = _in_window(lens, prompt, window)
    final_ids = _top(lens, "top_id").isel({DEPTH: -1}).values
    lens = lens.isel({DEPTH: _rows(lens[DEPTH].values, stride, half_depths, input_row)})
    chosen, depths = COLOURINGS[colouring], lens[DEPTH].values
    values = chosen.values(lens).transpose(DEPTH, TOKEN).values
    # At depth 0 a token's likeness to itself may dwarf everything after it: it may go off the scale.
    norm = chosen.norm(values[depths >= 1])
    settled = _top(lens, "top_id").transpose(DEPTH, TOKEN).values == final_ids
    strings = _top(lens, "top_str").transpose(DEPTH, TOKEN).values
    labels = [f"{int(d)}" if d % 1 == 0 else f"{int(d)}½ attn" for d in depths]
    figure, axes = _draw_cells(values, strings, settled, labels, chosen, norm)
    _mute(label for label, d in zip(axes.get_yticklabels(), depths, strict=True) if d % 1)
    axes.set_ylabel("depth (blocks applied)")
    hits = final_ids == lens["target_id"].values
    _label_tokens(axes, lens, hits, "true next token (★ the model's final guess was right)")
    axes.set_title(f"prompt {prompt}\n{decoded_by(lens)}", parse_math=False)
    return figure


def draw_updates(updates: xr.Dataset, prompt: str, window: tuple[int, int]) -> Figure:
    """What attention and MLP of every block add to one text, decoded by themselves.

    A cell holds the top guess of one update; its colour is the rank of the true next token, grey
    where there is none. A box marks a top guess that is the model's final one. Rows are in the order
    in which the model adds them, from the bottom up.

    Parameters
    ----------
    updates : (part, layer, token, k), part in "attn", "mlp"
    prompt, window : as in `draw_grid`

    Raises
    ------
    ValueError
        If none of the prompt's tokens lies in the window.
    """
    if prompt not in updates[PROMPT].values:
        return notice_of_rejection(prompt)
    updates = _in_window(updates, prompt, window).sel({PART: list(PARTS)}).transpose(LAYER, PART, TOKEN, ...)
    n_rows, n_tokens = updates.sizes[LAYER] * len(PARTS), updates.sizes[TOKEN]

    def rows(values: xr.DataArray) -> np.ndarray:
        return values.values.reshape(n_rows, n_tokens)

    values = rows(_UPDATES.values(updates))
    settled = rows(updates["rank_of_final"] == 0)
    labels = [f"{layer} {part}" for layer in updates[LAYER].values for part in PARTS.values()]
    strings = rows(_top(updates, "top_str"))
    figure, axes = _draw_cells(values, strings, settled, labels, _UPDATES, _UPDATES.norm(values))
    for row in range(len(PARTS), n_rows, len(PARTS)):
        axes.axhline(row - 0.5, color="white", lw=2.5)
    _mute(label for label in axes.get_yticklabels() if PARTS["attn"] in label.get_text())
    axes.set_ylabel("layer and part")
    _label_tokens(axes, updates, np.zeros(n_tokens, bool), "true next token")
    title = f"prompt {prompt}: what each part adds, decoded by itself"
    axes.set_title(f"{title}\n{decoded_by(updates)}", parse_math=False)
    return figure


def _in_window(lens: xr.Dataset, prompt: str, window: tuple[int, int]) -> xr.Dataset:
    """Those tokens of a prompt that lie in the window, in memory."""
    tokens = np.flatnonzero(lens[PROMPT].values == prompt)
    shown = tokens[slice(*window)]
    if not len(shown):
        raise ValueError(f"prompt {prompt!r} has no token in positions {window[0]} to {window[1] - 1}")
    return lens.isel({TOKEN: slice(shown[0], shown[-1] + 1)}).load()


def _rows(depths: np.ndarray, stride: int, half_depths: bool, input_row: bool) -> np.ndarray:
    """Which depths are drawn."""
    if stride < 1 or stride % 1:
        raise ValueError(f"stride is a whole number of depths above 0, not {stride}")
    shown = (depths % stride == 0) | (depths == depths[-1])
    if not input_row:
        shown &= depths > 0
    if half_depths:
        shown |= (depths % 1 != 0) & np.isin(np.floor(depths), depths[shown])
    return np.flatnonzero(shown)


def _draw_cells(
    values: np.ndarray,
    strings: np.ndarray,
    boxed: np.ndarray,
    labels: Sequence[str],
    colouring: Colouring,
    norm: Normalize,
) -> tuple[Figure, Axes]:
    """Coloured cells (row, column) with a token in each, the first row at the bottom."""
    n_rows, n_columns = values.shape
    # Many rows make a tall figure: they get as low as their text allows. A cell's size in inches is
    # what its text is cut to, hence no automatic layout; a few cells are wide enough for the title.
    cell = np.array([max(CELL_WIDTH, 4.5 / n_columns), 0.36 if n_rows <= 26 else 0.24])
    across, up = cell * (n_columns, n_rows)
    width, height = LEFT + across + RIGHT, BELOW + up + ABOVE
    figure = new_figure(width, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((LEFT / width, BELOW / height, across / width, up / height))
    bar = (LEFT + across + 0.15) / width, BELOW / height, 0.18 / width, min(up, 8) / height

    cmap = colormaps[f"{SEQUENTIAL}_r" if colouring.near else SEQUENTIAL].with_extremes(bad=NO_VALUE_COLOUR)
    image = axes.imshow(values, aspect="auto", origin="lower", cmap=cmap, norm=norm)
    _draw_bar(figure.add_axes(bar), image, colouring, values)
    colours = image.to_rgba(np.ma.masked_invalid(values))
    room = 72 * (cell[0] - 2 * BOX_INSET) - 3 * BOX_LINE
    for row, column in np.ndindex(values.shape):
        axes.text(
            column,
            row,
            fitted(str(strings[row, column]), room, CELL_FONT_SIZE),
            ha="center",
            va="center",
            color=ink_on(colours[row, column]),
            fontsize=CELL_FONT_SIZE,
            parse_math=False,
            in_layout=False,
        )
    _draw_boxes(axes, np.argwhere(boxed)[:, ::-1], BOX_INSET / cell)
    axes.grid(False)
    axes.set_yticks(range(n_rows), labels)
    return figure, axes


def _draw_bar(axes: Axes, image: ScalarMappable, colouring: Colouring, values: np.ndarray) -> None:
    low, high = image.get_clim()
    beyond = {(True, True): "both", (True, False): "min", (False, True): "max", (False, False): "neither"}
    extend = beyond[bool((values < low).any()), bool((values > high).any())]
    bar = axes.figure.colorbar(image, cax=axes, label=colouring.caption, extend=extend)
    if colouring.ticks:
        bar.set_ticks([t for t in colouring.ticks if t <= high], minor=False)
        bar.ax.yaxis.set_major_formatter("{x:g}")
        bar.minorticks_off()


def _draw_boxes(axes: Axes, centres: np.ndarray, inset: np.ndarray) -> None:
    """Boxes inside cells, in one go; ``centres`` (box, 2) are columns and rows."""
    casing = withStroke(linewidth=BOX_LINE + 1.4, foreground="white")  # seen on every colour of the map
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (0.5 - inset)
    look = {"facecolors": "none", "edgecolors": BOX_COLOUR, "linewidths": BOX_LINE, "path_effects": [casing]}
    axes.add_collection(PolyCollection(centres[:, None] + corners, **look), autolim=False)


def _label_tokens(axes: Axes, lens: xr.Dataset, starred: np.ndarray, what_is_above: str) -> None:
    positions = lens[POSITION].values
    axes.set_xlabel(f"input token (positions {positions[0]} to {positions[-1]})")
    _label_columns(axes.xaxis, [readable(str(t)) for t in lens[TOKEN_STR].values], "right")
    above = axes.secondary_xaxis("top")
    above.set_xlabel(what_is_above)
    nexts = zip(starred, lens["target_str"].values, strict=True)
    _label_columns(above.xaxis, [("★ " if hit else "") + readable(str(t)) for hit, t in nexts], "left")


def _label_columns(axis: Axis, labels: list[str], side: str) -> None:
    axis.set_ticks(range(len(labels)), labels)
    for label in axis.get_ticklabels():
        label.set(rotation=40, ha=side, rotation_mode="anchor", parse_math=False)


def _mute(labels: Iterable[Text]) -> None:
    for label in labels:
        label.set(color=ASIDE_COLOUR, fontstyle="italic")
