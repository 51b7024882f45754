"""Traces to first order and how far they are from exact ones (`strata.trace.approximation`)."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from strata.figures.restoration import ROW_LABEL, draw_lines
from strata.figures.style import SITE_COLOURS, new_figure
from strata.figures.trace_panels import (
    GREY,
    RESTORATION,
    SITE_LABELS,
    bands_told,
    category_name,
    count,
    draw_band,
    label_axis,
    noise_name,
    say_if_empty,
    shared_legend,
)
from strata.names import CATEGORY, DEPTH, MEASURE, NOISE, SITE

MEASURE_NAMES = {"p_target": "probability", "logit_difference": "logit difference"}
DASHES = {"exact": "-", "approximate": "--"}


def draw_first_order(state: xr.Dataset, noise: str, order: Sequence[str] = ()) -> Figure:
    """`strata.figures.restoration.draw_lines` of the approximate trace, which says that it is no other.

    Parameters
    ----------
    state : Dataset
        Of `strata.trace.averages.average_by_category`.
    noise, order : see there
    """
    figure = draw_lines(state, None, noise, order)
    figure.supylabel(f"{RESTORATION},\nto first order", fontsize="medium")
    return figure


def draw_approximation(approximation: xr.Dataset, noise: str) -> Figure:
    """Exact and approximate restoration by depth, and the error: a row a category, two columns a measure.

    Parameters
    ----------
    approximation : Dataset
        Of `strata.trace.approximation.compare_approximation`.
    noise : str
        The noise level drawn.
    """
    at_level = approximation.sel({NOISE: noise}).load()
    categories, measures = at_level[CATEGORY].values, at_level[MEASURE].values
    figure = new_figure(2 + 5.6 * len(measures), 1.6 + 1.9 * len(categories))
    panels = figure.subplots(len(categories), 2 * len(measures), squeeze=False, sharex=True)
    for row, category in zip(panels, categories, strict=True):
        for measure, restored, error in zip(measures, row[::2], row[1::2], strict=True):
            at = at_level.sel({CATEGORY: category, MEASURE: measure})
            _draw_restored(restored, at)
            _draw_error(error, at)
        row[0].set_ylabel(category_name(category), parse_math=False, **ROW_LABEL)
    for measure, restored, error in zip(measures, panels[0, ::2], panels[0, 1::2], strict=True):
        name = MEASURE_NAMES[str(measure)]
        restored.set_title(f"{name}: restoration\n{restored.get_title()}", fontsize=10)
        error.set_title(f"{name}: error\n{error.get_title()}", fontsize=10)
    for axes in panels.flat:
        label_axis(axes, at_level[DEPTH].values, DEPTH, most=8)
        axes.set_xlabel("")
    figure.supxlabel("depth of the restored state", fontsize="medium")
    figure.supylabel(f"{RESTORATION}; error in the same unit", fontsize="medium")
    shared_legend(figure, panels, f"{noise_name(noise, approximation)}; {bands_told(approximation)}")
    return figure


def _draw_restored(axes: Axes, at: xr.Dataset) -> None:
    for site in at[SITE].values:
        for which, dashes in DASHES.items():
            line = at[which].sel({SITE: site})
            label = f"{SITE_LABELS[site]}, {'exact' if which == 'exact' else 'to first order'}"
            axes.plot(at[DEPTH], line, color=SITE_COLOURS[site], ls=dashes, label=label)
    for level in (0, 1):
        axes.axhline(level, color=GREY, lw=0.8, ls=":")
    values = np.array([at[which].values for which in DASHES])
    low, high = np.nanmin([-0.1, values.min()]), np.nanmax([1.1, values.max()])
    axes.set_ylim(1.05 * low, 1.05 * high)
    axes.set_title(count(at), fontsize=10)
    say_if_empty(axes, at)


def _draw_error(axes: Axes, at: xr.Dataset) -> None:
    for site in at[SITE].values:
        line = at.sel({SITE: site})
        draw_band(
            axes, at[DEPTH], line["error"], line["error_low"], line["error_high"], SITE_COLOURS[site], None
        )
    axes.set_ylim(0, 1.05 * np.nanmax([1, at["error"].max(), at["error_high"].max()]))
    rho, low, high = (float(at[f"rank_correlation{end}"]) for end in ("", "_low", "_high"))
    told = "no ρ" if np.isnan(rho) else f"ρ = {rho:.2f}"
    axes.set_title(told + ("" if np.isnan(low) else f" [{low:.2f}, {high:.2f}]"), fontsize=10)
