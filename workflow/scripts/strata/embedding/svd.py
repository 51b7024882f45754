"""What a singular value decomposition of the embedding matrices says, from the weights alone.

``W = U S Vᵀ`` of the token matrix (vocab, channel) and of the position matrix (position, channel),
about the origin (nothing is subtracted), so that component 0 can be held against the mean.
Signs are free in such a decomposition; here the entry of largest magnitude in each left vector is
positive, the first of them where several tie.
"""

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from strata.embedding import NO_POSITIONS
from strata.names import CHANNEL, COMPONENT, POSITION, TOKEN_ID, TOKEN_STR, VOCAB

RANK_TOLERANCE = 1e-10  # of the largest singular value; left vectors below it are undefined
SPACE_MARKS = ("Ġ", "▁", " ")  # how byte-level BPE and sentencepiece write a leading space


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


def separation(scores: np.ndarray, group: np.ndarray) -> np.ndarray:
    """How well each column of scores tells a group from the rest: area under the ROC curve.

    From the rank sum (Mann and Whitney 1947): the share of pairs (one of the group, one not) in
    which the group's score is larger, ties counted half. 0.5 is no separation, 0 and 1 are perfect;
    without separation its standard deviation is sqrt((n + m + 1) / (12 n m)).

    Parameters
    ----------
    scores : array (item, column)
    group : bool array (..., item)

    Returns
    -------
    array (..., column)
        NaN where one side is empty or a score is NaN.
    """
    n_group = group.sum(-1)[..., None]
    n_rest = group.shape[-1] - n_group
    # One column at a time: ranks are wider than scores.
    ranked = (rankdata(column) for column in scores.T)
    rank_sum = np.stack([group.astype(float) @ ranks for ranks in ranked], axis=-1)
    with np.errstate(invalid="ignore"):
        return (rank_sum - n_group * (n_group + 1) / 2) / (n_group * n_rest)


def has_leading_space(token_str: xr.DataArray) -> xr.DataArray:
    """Which tokens begin with a space, from their byte-level (or sentencepiece) strings."""
    flags = [str(text).startswith(SPACE_MARKS) for text in token_str.values]
    return token_str.copy(data=np.array(flags, dtype=bool))


def decompose(
    token_embedding: xr.DataArray,
    token_str: xr.DataArray,
    position_embedding: xr.DataArray | None = None,
    n_separated: int = 10,
) -> xr.Dataset:
    """Decompose the embedding matrices.

    Parameters
    ----------
    token_embedding : DataArray (vocab, channel)
    token_str : DataArray (vocab)
        Byte-level strings.
    position_embedding : DataArray (position, channel) or None
        None where the model has none (rotary or computed positions).
    n_separated : int
        Leading components whose separation of leading spaces is measured.

    Returns
    -------
    Dataset
        ``token_singular_value``, ``token_share`` (component: of the sum of squares about the
        origin), ``token_left`` (vocab, component), ``token_right`` (component, channel),
        ``mean_embedding`` (channel), ``cosine_mean`` (component: of the right vector with the mean
        embedding), ``leading_space`` (vocab), ``auc_leading_space`` (component; NaN beyond the
        leading ones), and ``position_singular_value``, ``position_share``, ``position_left``
        (position, component), ``position_right``. The matrices share the dim component, NaN where
        one has fewer. Without a position embedding those fields are absent and the attribute
        ``position_embedding`` says so.

    Raises
    ------
    ValueError
        If dims are others than these, or a matrix holds NaN or infinities.
    """
    result = _decomposed(token_embedding, VOCAB, "token")
    mean = token_embedding.reduce(np.mean, VOCAB, dtype=float)
    norm = np.sqrt((mean**2).sum())
    result["mean_embedding"] = mean
    result["cosine_mean"] = result["token_right"].dot(mean, dim=CHANNEL) / norm

    space = has_leading_space(token_str)
    leading = result["token_left"].isel({COMPONENT: slice(n_separated)})
    auc = leading.isel({VOCAB: 0}, drop=True).astype(float)
    auc = auc.copy(data=separation(leading.values, space.values))
    result["leading_space"] = (VOCAB, space.values)
    result["auc_leading_space"] = auc.reindex({COMPONENT: result[COMPONENT]})
    result = result.assign_coords({TOKEN_STR: (VOCAB, token_str.values)})
    if TOKEN_ID in token_embedding.coords:
        result = result.assign_coords({TOKEN_ID: token_embedding[TOKEN_ID]})

    if position_embedding is None:
        return result.assign_attrs(position_embedding=NO_POSITIONS)
    position = _decomposed(position_embedding, POSITION, "position")
    result = xr.merge([result, position], join="outer", compat="no_conflicts")
    return result.assign_attrs(position_embedding="present")


def _decomposed(matrix: xr.DataArray, rows: str, stem: str) -> xr.Dataset:
    if set(matrix.dims) != {rows, CHANNEL}:
        raise ValueError(f"the {stem} embedding must have dims {(rows, CHANNEL)}: {matrix.dims}")
    values = matrix.transpose(rows, CHANNEL).values
    if not np.isfinite(values).all():
        raise ValueError(f"the {stem} embedding holds NaN or infinite entries")
    left, singular, right = svd(values)
    energy = singular**2
    return xr.Dataset(
        {
            f"{stem}_singular_value": (COMPONENT, singular),
            f"{stem}_share": (COMPONENT, energy / energy.sum()),
            f"{stem}_left": ((rows, COMPONENT), left),
            f"{stem}_right": ((COMPONENT, CHANNEL), right),
        },
        coords={COMPONENT: np.arange(len(singular))},
    )


def _signs(left: np.ndarray) -> np.ndarray:
    largest = np.take_along_axis(left, np.argmax(np.abs(left), axis=0)[None], axis=0)[0]
    return np.where(largest < 0, -1.0, 1.0)
