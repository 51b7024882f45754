"""Names at points of a scatter plot."""

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from strata.figures.style import readable


def label_points(
    axes: Axes,
    points: np.ndarray,
    tokens: np.ndarray,
    order: Iterable[int],
    room: tuple[float, float] = (0.14, 0.025),
    most: int | None = None,
    **look,
) -> None:
    """Token strings at the points (item, 2) of the indices in ``order``, the first ones first.

    None is put where one already is: ``room`` is what a label takes, as a share of the points' range.
    """
    look = {"xytext": (4, 3), "textcoords": "offset points", "fontsize": "small", "parse_math": False} | look
    halo = [withStroke(linewidth=2, foreground="white")]  # legible among the points
    space = np.ptp(points[np.isfinite(points).all(1)], axis=0) * room
    labelled = np.empty((0, 2))
    for index in order:
        if len(labelled) == most:
            break
        if (np.abs(labelled - points[index]) < space).all(1).any():
            continue
        labelled = np.vstack([labelled, points[index]])
        axes.annotate(
            readable(str(tokens[index])),
            points[index],
            path_effects=halo,
            **look,
        )
