"""Figures of the final token's attention by head: a category's, and facts less rote completions."""

from collections.abc import Mapping, Sequence

import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure

from strata.attention.names import SUBJECT
from strata.figures.attention import SITES
from strata.figures.head_maps import HEAT_TICKS, draw_map, mark_heads, new_maps, set_layers, size_of_map
from strata.figures.style import ASIDE_COLOUR, DIVERGING, new_figure, new_notice
from strata.names import ALL, CATEGORY, HEAD, LAYER, SITE

RANKED = 16
"""Heads whose differences are drawn with their intervals."""

ORDER = ("subject", "first", "final")
"""Of the sites, from the one that the contrast is about."""


def draw_heads(attention: xr.Dataset, category: str = ALL) -> Figure:
    """A map of layer by head of the final token's attention on each site, means over a category's prompts.

    Parameters
    ----------
    attention : Dataset
        As `strata.attention.final_token.analyse` returns it.
    """
    told = "prompts of all categories" if category == ALL else f"{_named([category])} prompts"
    if category not in attention[CATEGORY].values:
        return new_notice(f"The model can use none of the {told}.")
    at = attention.sel({CATEGORY: category})
    figure, panels = new_maps(at, len(SITES))
    norm = PowerNorm(0.5, 0, 1)
    for axes, (site, label) in zip(panels, SITES.items(), strict=True):
        image = draw_map(axes, at["attention_by_head"].sel({SITE: site}), norm)
        axes.set_title(f"attention on the {label}")
    panels[-1].set_xlabel("layer")
    bar = figure.colorbar(
        image, ax=panels, label="share of attention, square-root scale", pad=0.01, aspect=30
    )
    bar.set_ticks(HEAT_TICKS)
    n = int(at["attention_by_head_n"])
    figure.suptitle(f"where the final token attends, by head: means over {n} {told}", fontsize="medium")
    return figure


def draw_heads_difference(heads: pd.DataFrame, contrast: Mapping[str, Sequence[str]]) -> Figure:
    """Every head's attention in facts less that in rote completions, and the heads that differ the most.

    A dot marks the heads that hold: those whose test is below its level when all are corrected.

    Parameters
    ----------
    heads : DataFrame
        As `strata.attention.contrast.contrast_heads` returns it.
    contrast : ``facts`` and ``rote``, the categories of either kind
    """
    facts, rote = (_named(contrast[kind]) for kind in ("facts", "rote"))
    if heads.empty:
        return new_notice(f"There are too few prompts to compare {facts} with {rote}.")
    table = heads.set_index([SITE, LAYER, HEAD]).to_xarray()
    width, height = size_of_map(table)
    figure = new_figure(width + 4.2, 1.2 + len(ORDER) * height)
    grid = figure.add_gridspec(len(ORDER), 2, width_ratios=(width, 3.4))
    most = float(abs(heads["difference"]).max())
    maps = [figure.add_subplot(grid[row, 0]) for row in range(len(ORDER))]
    for axes, site in zip(maps, ORDER, strict=True):
        at = table.sel({SITE: site})
        image = draw_map(axes, at["difference"], Normalize(-most, most), DIVERGING)
        mark_heads(axes, at["holds"])
        axes.set_title(f"attention on the {SITES[site]}")
        set_layers(axes, at[LAYER].values)
        axes.set_xlabel("")
    maps[-1].set_xlabel("layer")
    figure.colorbar(image, ax=maps, label="difference in share of attention", pad=0.01, aspect=30)
    _draw_ranked(figure.add_subplot(grid[:, 1]), heads[heads[SITE] == SUBJECT])
    n_facts, n_rote = (int(heads[f"n_{kind}"].iloc[0]) for kind in ("facts", "rote"))
    figure.suptitle(f"{facts} ({n_facts} facts) less {rote} ({n_rote})", fontsize="medium")
    told = f"dots: holds at 5 % of {len(heads)} tests together, with the lengths of prompts accounted for"
    figure.supxlabel(told, fontsize="small")
    return figure


def _draw_ranked(axes: Axes, heads: pd.DataFrame) -> None:
    """Differences of the heads that differ the most, with intervals; hollow where a head does not hold."""
    largest = abs(heads["difference"]).nlargest(RANKED).index.sort_values()
    shown = heads.loc[largest]
    for place, head in enumerate(shown.itertuples()):
        axes.plot([head.difference_low, head.difference_high], [place] * 2, color="black", lw=1.2)
        face = "black" if head.holds else "white"
        axes.plot(head.difference, place, marker="o", ms=5, color="black", mfc=face, ls="")
    axes.set_yticks(range(len(shown)), [f"{head.layer}.{head.head}" for head in shown.itertuples()])
    axes.set(xlabel="difference, bootstrap interval", ylim=(len(shown) - 0.4, -0.6))
    axes.set_title("most different on the subject\n(layer.head)")
    axes.axvline(0, color=ASIDE_COLOUR, lw=1)


def _named(categories: Sequence[str]) -> str:
    return " and ".join(category.replace("_", " ") for category in categories)
