"""Points of a scatter plot: their names, and limits that a few far ones do not set."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

FENCE = 4  # times the distance between the quartiles beyond which values lie far out
WORTH = 1.5  # times the limits' range that all values must span for it to be worth leaving any out
INWARD_FROM = 0.75  # of a panel's width: labels of points beyond lie to their left
ROOM = (1.1, 1.25)  # times a label's width and height, as panels may still shrink when they are laid out


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
    axes: Axes, points: np.ndarray, labels: Mapping[int, str], most: int | None = None, **look
) -> None:
    """Words at points, the first ones first, each on the side of its point where there is room.

    To be called when the points and the legend are drawn and the axes have their limits. A word that would
    lie upon one before it, or upon the legend, is left out.

    Parameters
    ----------
    points : array (item, 2)
    labels :
        By the index of their point.
    most :
        Words at most.
    """
    look = {"fontsize": "small", "va": "center", "parse_math": False} | look
    halo = [withStroke(linewidth=2, foreground="white")]  # legible among the points
    axes.get_xlim()  # limits are reckoned when they are asked for
    places = (axes.transData + axes.transAxes.inverted()).transform(points)
    drawn = [legend.get_window_extent() for legend in [axes.get_legend()] if legend]
    taken: list[Bbox] = []
    for index, label in labels.items():
        if len(taken) == most:
            break
        side, ha = (-5, "right") if places[index, 0] > INWARD_FROM else (5, "left")
        word = axes.annotate(
            label, points[index], (side, 0), textcoords="offset points", ha=ha, path_effects=halo, **look
        )
        room = word.get_window_extent().expanded(*ROOM)
        if any(room.overlaps(other) for other in [*drawn, *taken]):
            word.remove()
        else:
            taken.append(room)
