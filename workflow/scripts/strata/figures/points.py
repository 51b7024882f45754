"""Points of a scatter plot: their names, and limits that a few far ones do not set."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from strata.figures.style import readable

FENCE = 4  # times the distance between the quartiles beyond which values lie far out
WORTH = 1.5  # times the limits' range that all values must span for it to be worth leaving any out


def robust_limits(values: np.ndarray) -> tuple[float, float]:
    """The range of values; of those that are not far out, if these would squeeze all others.

    Far out is what lies more than `FENCE` times the distance between the quartiles beyond them (Tukey).

    Parameters
    ----------
    values : array (item,)
    """
    low, high = float(np.min(values)), float(np.max(values))
    quartiles = np.quantile(values, [0.25, 0.75])
    reach = FENCE * np.ptp(quartiles)
    near = values[(values >= quartiles[0] - reach) & (values <= quartiles[1] + reach)]
    if reach and high - low > WORTH * np.ptp(near):
        return float(near.min()), float(near.max())
    return low, high


def within(points: np.ndarray, limits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points moved to the edge of limits where they lie beyond, and which do.

    Parameters
    ----------
    points : array (item, 2)
    limits : array (2, 2)
        Low and high, of x and of y.
    """
    moved = np.clip(points, *np.transpose(limits))
    return moved, (moved != points).any(axis=1)


def label_points(
    axes: Axes,
    points: np.ndarray,
    tokens: np.ndarray,
    order: Iterable[int],
    room: tuple[float, float] = (0.14, 0.03),
    most: int | None = None,
    **look,
) -> None:
    """Token strings at the points (item, 2) of the indices in ``order``, the first ones first.

    To be called when the points are drawn. None is put where one already is: ``room`` is what a label takes,
    as a share of the panel's width and height.
    """
    look = {"xytext": (4, 3), "textcoords": "offset points", "fontsize": "small", "parse_math": False} | look
    halo = [withStroke(linewidth=2, foreground="white")]  # legible among the points
    places = (axes.transData + axes.transAxes.inverted()).transform(points)
    labelled = np.empty((0, 2))
    for index in order:
        if len(labelled) == most:
            break
        if (np.abs(labelled - places[index]) < room).all(1).any():
            continue
        labelled = np.vstack([labelled, places[index]])
        axes.annotate(
            readable(str(tokens[index])),
            points[index],
            path_effects=halo,
            **look,
        )
