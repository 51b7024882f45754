"""Figures of single heads in the answer: what each adds to its logit, and what restoring each brings back."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from strata.figures.head_maps import draw_map, new_maps
from strata.figures.restoration import main_categories
from strata.figures.style import DIVERGING, category_colours
from strata.figures.trace_panels import (
    GREY,
    RESTORATION,
    SITE_LABELS,
    bands_told,
    category_name,
    count,
    draw_band,
    noise_name,
    notice_of_untraced,
    say_if_empty,
)
from strata.names import ALL, CATEGORY, LAYER, NOISE, SITE

SUB_BLOCKS = {"mlp_total": ("MLP", "-"), "attention_total": ("attention, all heads", "--")}
WIDE = 6  # layers whose maps are as wide as their titles
OTHERS = ("token_embedding", "position_embedding", "constant")


def draw_attribution(attribution: xr.Dataset, order: Sequence[str] = ()) -> Figure:
    """What MLPs and attention add to the logit difference by layer, over maps of what each head adds.

    Parameters
    ----------
    attribution : Dataset
        Of `strata.trace.attribution.average_attribution`.
    order : sequence of str
        See `strata.figures.restoration.main_categories`; so for `draw_heads`.
    """
    attribution = attribution.load()
    categories = main_categories([c for c in attribution[CATEGORY].values if c != ALL], order)
    figure, (lines, *maps) = new_maps(attribution, 1 + len(categories), height_of_first=3.2)
    for category, colour in category_colours(categories).items():
        at = attribution.sel({CATEGORY: category})
        for name, (told, dashes) in SUB_BLOCKS.items():
            label = f"{category_name(category)}, {told}"
            ends = at[f"{name}_low"], at[f"{name}_high"]
            draw_band(lines, at[LAYER], at[name], *ends, colour, label, dashes)
    lines.axhline(0, color=GREY, lw=0.8)
    lines.set_ylabel("logits")
    lines.set_title(f"what MLPs and attention add ({bands_told(attribution)})")
    lines.legend(ncols=len(categories), fontsize="x-small", frameon=False)

    norm = _symmetric(attribution["attention"].sel({CATEGORY: categories}))
    for axes, category in zip(maps, categories, strict=True):
        at = attribution.sel({CATEGORY: category})
        image = draw_map(axes, at["attention"], norm, DIVERGING)
        others = sum(float(at[name]) for name in OTHERS if name in at)
        end = " " if attribution.sizes[LAYER] >= WIDE else "\n"
        axes.set_title(
            f"heads, {category_name(category)} (n = {int(at['attention_n'])}):{end}together "
            f"{float(at['attention_total'].sum()):z.1f} of {float(at['logit_difference']):z.1f} logits, MLPs "
            f"{float(at['mlp_total'].sum()):z.1f}, embeddings and constants {others:z.1f}",
            fontsize=10,
            parse_math=False,
        )
    maps[-1].set_xlabel("layer")
    figure.colorbar(image, ax=maps, label="logits", pad=0.01, aspect=30)
    return figure


def draw_heads(heads: xr.Dataset, noise: str, order: Sequence[str] = ()) -> Figure:
    """Restoration by one head alone, at the subject and at the final token: a map for each and category.

    Parameters
    ----------
    heads : Dataset
        Of `strata.trace.averages.average_heads`. A line where none were traced.
    noise : str
        The noise level drawn.
    """
    if notice := notice_of_untraced(heads):
        return notice
    categories = main_categories(heads[CATEGORY].values, order)
    heads = heads.sel({CATEGORY: categories, NOISE: noise}).load()
    figure, panels = new_maps(heads, len(categories) * heads.sizes[SITE])
    norm = _symmetric(heads["restoration"])
    places = [(category, site) for category in categories for site in heads[SITE].values]
    for axes, (category, site) in zip(panels, places, strict=True):
        at = heads.sel({CATEGORY: category})
        image = draw_map(axes, at["restoration"].sel({SITE: site}), norm, DIVERGING)
        say_if_empty(axes, at)
        axes.set_title(f"{category_name(category)} ({count(at)}), {SITE_LABELS[site]}", parse_math=False)
    panels[-1].set_xlabel("layer")
    figure.colorbar(image, ax=panels, label=RESTORATION, pad=0.01, aspect=40)
    figure.suptitle(f"one head restored, {noise_name(noise)}", fontsize="medium")
    return figure


def _symmetric(values: xr.DataArray) -> Normalize:
    """Colours with 0 in the middle; of nothing but NaN, up to 1."""
    sizes = np.abs(values.values[np.isfinite(values.values)])
    most = float(sizes.max(initial=0)) or 1.0
    return Normalize(-most, most)
