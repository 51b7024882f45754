"""Figure of states mixed with the embedding of the true next token (`strata.lens.mixing`)."""

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from strata.figures.curves import draw_curve, set_depth_ticks
from strata.figures.style import ASIDE_COLOUR, LINE_COLOURS, MARKERS, new_figure
from strata.lens.names import APPLIED, GUESSED, SHARE, TOWARDS
from strata.names import DEPTH

WAYS = {"once": "mixed once, at that depth", "onwards": "mixed at every depth from there on"}
LINEAR = 0.01
"""Within so much of 0 (nat) the scale is linear, and beyond one of logarithms."""


def draw_mixing(mixing: xr.Dataset) -> Figure:
    """Change of the loss of following tokens by depth and share, after right and after wrong guesses.

    Left the change towards the true next token, and dotted that towards another token; right the one less the
    other. A row for each way, a colour for each share.

    Parameters
    ----------
    mixing : Dataset
        As `strata.lens.mixing.measure` returns it.
    """
    mixing = mixing.load()
    guesses = mixing[GUESSED].values
    figure = new_figure(15, 8)
    columns = figure.subfigures(1, 2)
    for name, column in zip(("change", "beyond_random"), columns, strict=True):
        panels = column.subplots(len(WAYS), len(guesses), sharex=True, sharey=True, squeeze=False)
        for row, way in zip(panels, WAYS, strict=True):
            for axes, guess in zip(row, guesses, strict=True):
                _draw(axes, mixing.sel({APPLIED: way, GUESSED: guess}), name)
        for axes, guess in zip(panels[0], guesses, strict=True):
            axes.set_title(f"after a {guess} guess")
        for axes in panels[-1]:
            set_depth_ticks(axes, mixing[DEPTH].values)
        if name == "change":
            for axes, title in zip(panels[:, 0], WAYS.values(), strict=True):
                axes.set_ylabel(title)
    columns[0].suptitle("change of the loss of following tokens (nat a token)", fontsize="medium")
    columns[1].suptitle("the same less the change towards another token", fontsize="medium")
    legend, labels = columns[0].axes[0].get_legend_handles_labels()
    title = "share of the embedding"
    figure.legend(legend, labels, title=title, ncols=len(labels), frameon=False, loc="outside upper center")
    counts = "; ".join(_counted(mixing.sel({GUESSED: guess})) for guess in guesses)
    figure.supxlabel(
        f"{counts}.\nMean over documents of the {mixing.attrs['horizon']} tokens that follow the next one, "
        f"bands: {mixing.attrs['interval']:.0%} bootstrap intervals over documents",
        fontsize="small",
    )
    return figure


def _draw(axes: Axes, part: xr.Dataset, name: str) -> None:
    """A line for each share of ``name`` ([towards,] share, depth)."""
    for share, colour, mark in zip(part[SHARE].values, LINE_COLOURS, MARKERS, strict=False):
        of_share = part.sel({SHARE: share})
        towards_next = of_share.sel({TOWARDS: "next"})
        curves = (towards_next[name + end].to_series() for end in ("", "_low", "_high"))
        draw_curve(axes, *curves, color=colour, marker=mark, label=f"{share:g}")
        if name == "change":
            other = of_share["change"].sel({TOWARDS: "random"})
            axes.plot(other[DEPTH], other, color=colour, ls=":", lw=1.6, label=f"{share:g}, of another token")
    axes.axhline(0, color=ASIDE_COLOUR, lw=0.8)
    axes.set_yscale("symlog", linthresh=LINEAR)


def _counted(part: xr.Dataset) -> str:
    """How many places a guess has, and how large the loss is that changes."""
    guess, places = part[GUESSED].item(), int(part["n_places"])
    if not places:
        return f"After a {guess} guess: no place"
    return (
        f"After a {guess} guess: {places} places in {int(part['change_n'])} documents, "
        f"unmixed loss {float(part['loss']):.2f} nat a token"
    )
