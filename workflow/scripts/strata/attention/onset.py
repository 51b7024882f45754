"""Where in depth attention sets in, and where it lets go."""

import numpy as np


def onset_and_release(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where in depth attention sets in, and where it lets go.

    The rule: at half of its maximum over layers. The onset is where the share first reaches it, on a
    straight line from the layer below; the release where it last has it, on a straight line to the layer
    above. In between it may fall below. The layers before the onset and after the release are those
    whose attention is spread elsewhere.

    Parameters
    ----------
    share : array (layer, ...)

    Returns
    -------
    onset, release : arrays (...), in layers
        0 and L - 1 where the share has half of its maximum in the first or last layer already; NaN where
        it is nowhere above 0.
    """
    top = len(share) - 1
    highest = share.max(axis=0)
    half = highest / 2
    enough = share >= half
    first = enough.argmax(axis=0)
    last = top - enough[::-1].argmax(axis=0)

    def at(layer: np.ndarray) -> np.ndarray:
        return np.take_along_axis(share, np.clip(layer, 0, top)[None], axis=0)[0]

    def part(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """How far on the way from low to high the half is."""
        return np.divide(half - low, high - low, out=np.zeros_like(half), where=high > low)

    onset = np.where(first == 0, 0, first - 1 + part(at(first - 1), at(first)))
    release = np.where(last == top, top, last + 1 - part(at(last + 1), at(last)))
    return np.where(highest > 0, onset, np.nan), np.where(highest > 0, release, np.nan)
