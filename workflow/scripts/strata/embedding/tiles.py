"""Large matrices, a tile of rows at a time."""

from collections.abc import Iterator

import numpy as np


def tiles(stop: int, size: int, start: int = 0) -> Iterator[slice]:
    """Slices of at most ``size`` rows, from ``start`` to ``stop``."""
    return (slice(at, min(at + size, stop)) for at in range(start, stop, size))


def measure(matrix: np.ndarray, rows: int = 1024) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Norm of every row, and mean and standard deviation of every channel, float64, in one pass over tiles.

    Raises
    ------
    ValueError
        If the matrix holds NaN or infinite entries.
    """
    norm = np.empty(len(matrix))
    total = squares = 0.0
    for at in tiles(len(matrix), rows):
        tile = matrix[at].astype(float)
        norm[at] = np.linalg.norm(tile, axis=1)
        total, squares = total + tile.sum(0), squares + (tile**2).sum(0)
    if not np.isfinite(norm).all():
        raise ValueError("the embedding or the unembedding holds NaN or infinite entries")
    mean = total / len(matrix)
    return norm, mean, np.sqrt(np.maximum(squares / len(matrix) - mean**2, 0))
