"""Figure of groups of MLP neurons: what restoring each brings back of the answer."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from strata.figures.curves import thinned
from strata.figures.restoration import main_categories
from strata.figures.style import ASIDE_COLOUR, SEQUENTIAL, new_figure
from strata.figures.trace_panels import (
    RESTORATION,
    SITE_LABELS,
    bands_told,
    category_name,
    count,
    draw_band,
    noise_name,
    notice_of_untraced,
    say_if_empty,
    shared_legend,
)
from strata.names import CATEGORY, LAYER, NOISE, SITE
from strata.trace.names import NEURON_GROUP, RANDOM


def draw_neurons(neurons: xr.Dataset, noise: str, order: Sequence[str] = ()) -> Figure:
    """Restoration by each group of an MLP's neurons through the layers: a row a category, a column a site.

    Parameters
    ----------
    neurons : Dataset
        Of `strata.trace.averages.average_heads`, along ``neuron_group``. A line where none were traced.
    noise : str
        The noise level drawn.
    order : sequence of str
        See `strata.figures.restoration.main_categories`.
    """
    if notice := notice_of_untraced(neurons):
        return notice
    categories = main_categories(neurons[CATEGORY].values, order)
    neurons = neurons.sel({CATEGORY: categories, NOISE: noise}).load()
    sites, layers = neurons[SITE].values, neurons[LAYER]
    figure = new_figure(11, 1.5 + 2.3 * len(categories))
    panels = figure.subplots(len(categories), len(sites), squeeze=False, sharex=True, sharey="col")
    looks = _looks([str(group) for group in neurons[NEURON_GROUP].values])
    for row, category in zip(panels, categories, strict=True):
        for axes, site in zip(row, sites, strict=True):
            at = neurons.sel({CATEGORY: category, SITE: site})
            for group, look in looks.items():
                line = at.sel({NEURON_GROUP: group})
                ends = line["restoration_low"], line["restoration_high"]
                draw_band(axes, layers, line["restoration"], *ends, *look)
            say_if_empty(axes, at)
            axes.set_title(f"{category_name(category)} ({count(at)}), {SITE_LABELS[site]}", parse_math=False)
        row[0].set_ylabel(RESTORATION.replace(" (", "\n("))
    for axes in panels[-1]:
        axes.set(xlabel="layer", xticks=thinned(layers.values))
    shared_legend(figure, panels, f"groups of an MLP's neurons, {noise_name(noise)}; {bands_told(neurons)}")
    return figure


def _looks(groups: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """Colour, name and dashes of each group: the darker, the larger its neurons."""
    by_size = [group for group in groups if group != RANDOM]
    shades = matplotlib.colormaps[SEQUENTIAL](np.linspace(0, 0.85, len(by_size)))
    told = {by_size[0]: "largest", by_size[-1]: "smallest"} if len(by_size) > 1 else {}
    names = [f"{told[group]} 1/{len(by_size)}" if group in told else f"group {group}" for group in by_size]
    looks = zip(by_size, map(to_hex, shades), names, strict=True)
    found = {group: (colour, name, "-") for group, colour, name in looks}
    return found | ({RANDOM: (ASIDE_COLOUR, "as many at random", "--")} if RANDOM in groups else {})
