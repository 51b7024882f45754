"""Means, ratios and percentiles where some values are undefined (NaN)."""

import numpy as np


def mean_of_defined(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean over an axis of what is defined; NaN where nothing is."""
    defined = ~np.isnan(values)
    return ratio(np.sum(values, axis=axis, where=defined), defined.sum(axis))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``; NaN where ``whole`` is 0."""
    shape = np.broadcast_shapes(np.shape(part), np.shape(whole))
    return np.divide(part, whole, out=np.full(shape, np.nan), where=np.not_equal(whole, 0))


def percentiles(values: np.ndarray, interval: float, axis: int = -1, lost: float = 1) -> np.ndarray:
    """Ends (low and high, ...) between which the share ``interval`` of what is defined lies.

    NaN where nothing is defined, or more than the share ``lost`` is not.
    """
    undefined = np.isnan(values)
    none = undefined.all(axis, keepdims=True)
    tail = (1 - interval) / 2
    ends = np.nanquantile(np.where(none, 0, values), [tail, 1 - tail], axis=axis)
    return np.where(none.squeeze(axis) | (undefined.mean(axis) > lost), np.nan, ends)
