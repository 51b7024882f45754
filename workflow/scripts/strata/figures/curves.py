"""Lines through depth with their bands, and their scales."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator


def draw_curve(axes: Axes, mean: pd.Series, low: pd.Series, high: pd.Series, **look) -> None:
    """A line through ``mean`` (depth) in a band from ``low`` to ``high``, none where they are NaN."""
    axes.plot(mean.index, mean, **{"ms": 3.5, "lw": 1.6} | look)
    if low.notna().any():
        axes.fill_between(mean.index, low, high, color=look["color"], alpha=0.18, lw=0)


def marks(depths: Iterable[float]) -> list[int]:
    """Where a line has its marks: at whole depths, at most 25 of them."""
    return thinned([i for i, depth in enumerate(depths) if depth % 1 == 0], most=25)


def set_log_scale(*panels: Axes) -> None:
    """One log scale for all panels, down to half the smallest value above zero, five decades at most.

    Exact zeros, and what is zero but for rounding, run off below. No such scale if all is zero.
    """
    above_zero = [y for axes in panels for line in axes.lines for y in line.get_ydata() if y > 0]
    if above_zero:
        for axes in panels:
            axes.set_yscale("log", nonpositive="clip")
            axes.set_ylim(max(min(above_zero) / 2, max(above_zero) / 1e5), 1.5 * max(above_zero))
            axes.yaxis.set_minor_locator(NullLocator())  # eight a decade, which take longer than all else


def set_depth_ticks(axes: Axes, depths: np.ndarray) -> None:
    """Ticks at whole depths."""
    axes.set_xlabel("depth (blocks applied)")
    axes.set_xticks(thinned(depths[depths % 1 == 0].astype(int)))


def thinned(ticks: Sequence, most: int = 13) -> Sequence:
    """Every so many of ``ticks``, the first among them, that there are ``most`` at most."""
    return ticks[:: -(-len(ticks) // most)]
