"""Singular value decomposition of tall matrices, ``W = U S Vᵀ``.

Signs are free in such a decomposition; here the entry of largest magnitude in each left vector is
positive, the first of them where several tie.
"""

import numpy as np

RANK_TOLERANCE = 1e-10  # of the largest singular value; left vectors below it are undefined


def svd(matrix: np.ndarray, tile: int = 8192) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Singular value decomposition that never holds a second float64 copy of a tall matrix.

    R of a QR decomposition is built up over tiles of rows (Demmel et al. 2012, TSQR) and decomposed;
    the left vectors follow as ``W V / s``. Arithmetic is float64 whatever the matrix's type.

    Parameters
    ----------
    matrix : array (row, channel)
    tile : int
        Rows at a time, at least.

    Returns
    -------
    left : float32 array (row, component)
        NaN where the singular value is numerically zero. There are min(row, channel) components.
    values : float64 array (component)
        Singular values, descending.
    right : float64 array (component, channel)
    """
    tile = max(tile, 4 * matrix.shape[1])
    starts = range(0, len(matrix), tile)
    r = np.empty((0, matrix.shape[1]))
    for start in starts:
        r = np.linalg.qr(np.vstack([r, matrix[start : start + tile]], dtype=float), mode="r")
    _, values, right = np.linalg.svd(r, full_matrices=False)

    scale = np.where(values > RANK_TOLERANCE * values[:1], values, np.nan)
    left = np.empty((len(matrix), len(values)), dtype=np.float32)
    for start in starts:
        left[start : start + tile] = matrix[start : start + tile].astype(float) @ (right.T / scale)
    sign = _signs(left)
    left *= sign
    return left, values, right * sign[:, None]


def _signs(left: np.ndarray) -> np.ndarray:
    largest = np.take_along_axis(left, np.argmax(np.abs(left), axis=0)[None], axis=0)[0]
    return np.where(largest < 0, -1.0, 1.0)
