"""Figures of how the final token's state moves through depth (`strata.attention.hidden`)."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from strata.attention.hidden import MEASURES, POOLED, crop
from strata.attention.names import OFFSET
from strata.figures.curves import draw_curve, marks, thinned
from strata.figures.style import ASIDE_COLOUR, category_colours, new_figure, new_notice
from strata.names import ALL, CATEGORY, DEPTH, LAYER, MEASURE, NOISE

TITLES = {
    "norm": "size of the state",
    "step": "size of each step",
    "relative_step": "step over the state it starts from",
    "growth": "growth of the state",
    "cosine_state": "cosine of successive states",
    "cosine_step": "cosine of successive steps",
}
UNITS = {
    "norm": "|h| (residual stream)",
    "step": "|Δh| (residual stream)",
    "relative_step": "|Δh| / |h|",
    "growth": "ln of the ratio of sizes (nat)",
    "cosine_state": "cosine",
    "cosine_step": "cosine with the step before",
}
MIN_PROMPTS = 5


def draw_motion(hidden: xr.Dataset, cropped: int = 0) -> Figure:
    """Every measure of the final token's motion by category, with bands.

    Parameters
    ----------
    hidden : Dataset
        As `strata.attention.hidden.analyse` returns it.
    cropped : int
        Depths that are left out at either end; 0 draws all.
    """
    alone = hidden[CATEGORY].values[hidden[POOLED].values == ""]
    return _draw_motion(hidden, [category for category in alone if category != ALL], cropped)


def draw_pooled(hidden: xr.Dataset, order: Sequence[str], cropped: int = 0) -> Figure:
    """The same of groups of categories, and of the categories of an order that are in none of them."""
    members = dict(zip(hidden[CATEGORY].values, hidden[POOLED].values, strict=True))
    within = " ".join(members.values()).split()
    chosen = [name for name in order if name in members and name not in within]
    chosen += [name for name, of in members.items() if of]
    if not chosen:
        return new_notice(f"The model can use no prompts of {', '.join(order)}.")
    return _draw_motion(hidden, chosen, cropped)


def _draw_motion(hidden: xr.Dataset, categories: Sequence[str], cropped: int) -> Figure:
    hidden = hidden.load()
    shown = crop(hidden, cropped)
    figure = new_figure(13.5, 7.6)
    panels = figure.subplots(2, 3)
    of_all = category_colours(hidden[CATEGORY].values)
    colours = {category: of_all[category] for category in categories}
    for axes, name in zip(panels.flat, MEASURES, strict=True):
        along = DEPTH if name == "norm" else LAYER
        for category, colour in colours.items():
            at = shown.sel({CATEGORY: category})
            told = f"{category.replace('_', ' ')} ({int(at[f'{name}_n'])})"
            curves = [at[name + end].dropna(along, how="all").to_series() for end in ("", "_low", "_high")]
            look = {"color": colour, "marker": "o", "markevery": marks(curves[0].index), "label": told}
            draw_curve(axes, *curves, **look)
        axes.set(title=TITLES[name], ylabel=UNITS[name])
        axes.set_xlabel("depth (blocks applied)" if along == DEPTH else "layer")
        axes.set_xticks(thinned(curves[0].index.values))
        if name in ("norm", "step", "relative_step"):
            axes.set_ylim(0, None)
        elif axes.get_ylim()[0] < 0:
            axes.axhline(0, color=ASIDE_COLOUR, lw=0.8)
    keys = panels[0, 0].get_legend_handles_labels()
    figure.legend(
        *keys,
        title="category (prompts)",
        ncols=min(8, len(colours)),
        frameon=False,
        loc="outside upper center",
    )
    depths = shown[DEPTH].values
    told = f"means over prompts, bands: {hidden.attrs['interval']:.0%} bootstrap intervals"
    figure.supxlabel(f"depths {depths[0]} to {depths[-1]}; {told}", fontsize="small")
    return figure


def draw_aligned(hidden: xr.Dataset, noise: str) -> Figure:
    """Motion aligned at each prompt's transition, a column for each measure.

    Above, means over all prompts and by category. Below, what is left when the mean over shuffles of the
    transitions within categories is taken away; grey is where 95 % of the shuffles lie. Means over fewer
    than `MIN_PROMPTS` prompts are not drawn.

    Parameters
    ----------
    hidden : Dataset
        As `strata.attention.hidden.analyse` returns it.
    noise : str
        The noise level whose transitions are meant.
    """
    hidden = hidden.load()
    at_level = hidden.sel({NOISE: noise})
    measures, offsets = hidden[MEASURE].values, hidden[OFFSET].values
    figure = new_figure(2.8 * len(measures), 7.2)
    panels = figure.subplots(2, len(measures), squeeze=False, sharex=True)
    tested = [c for c in hidden[CATEGORY].values if int(at_level["n"].sel({CATEGORY: c}).max())]
    colours = category_colours(tested)
    for (above, below), name in zip(panels.T, measures, strict=True):
        cell = at_level.sel({MEASURE: name})
        for category, colour in colours.items():
            at = cell.sel({CATEGORY: category})
            at = at.where(at["aligned_n"] >= MIN_PROMPTS)
            look = {"color": colour, "lw": 1.2, "label": category.replace("_", " ")}
            if at[POOLED]:
                look["ls"] = "--"
            if category == ALL:
                look |= {"marker": "o", "ms": 4, "lw": 2, "zorder": 3}
            above.plot(offsets, at["aligned"], **look)
            below.plot(offsets, at["aligned"] - at["shuffled"], **look)
        everybody = cell.sel({CATEGORY: ALL})
        shown = everybody.where(everybody["aligned_n"] >= MIN_PROMPTS)
        ends = (shown[end] - shown["shuffled"] for end in ("shuffled_low", "shuffled_high"))
        below.fill_between(
            offsets, *ends, color=ASIDE_COLOUR, alpha=0.4, lw=0, label="95 % of shuffles of all"
        )
        for axes in (above, below):
            axes.axvline(0, color="black", ls="--", lw=1)
        above.set_title(f"{TITLES[name]}\n{UNITS[name]}", fontsize="small")
        below.set_title(_verdict(everybody), fontsize="small")
        below.set(xlabel="layers after the transition", xticks=offsets)
    panels[0, 0].set_ylabel("aligned mean")
    panels[1, 0].set_ylabel("aligned mean minus that of\nshuffled transitions")
    keys = panels[1, 0].get_legend_handles_labels()
    figure.legend(*keys, ncols=min(9, len(keys[1])), frameon=False, loc="outside upper center")
    ends, shuffles = int(hidden.attrs["cropped"]), int(hidden.attrs["shuffles"])
    told = f"transitions under noise {noise}, depths {ends} to {hidden.sizes[LAYER] - ends}"
    figure.supxlabel(
        f"{told}; p: all prompts at the transition, two-sided, {shuffles:,} shuffles of facts within "
        f"categories; corrected for all tests{hidden['p_adjusted'].attrs['family'].removeprefix('p')}",
        fontsize="small",
    )
    return figure


def _verdict(at: xr.Dataset) -> str:
    p, n = float(at["p_adjusted"]), int(at["n"])
    return f"p = {p:.2g}, n = {n}" if np.isfinite(p) else f"no test, n = {n}"
