"""What a singular value decomposition of the embedding matrices says, from the weights alone.

``W = U S Vᵀ`` of the token matrix (vocab, channel) and of the position matrix (position, channel),
about the origin (nothing is subtracted), so that component 0 can be compared with the mean.
"""

import numpy as np
import xarray as xr

from strata.embedding import NO_POSITIONS
from strata.names import CHANNEL, COMPONENT, POSITION, TOKEN_ID, TOKEN_STR, VOCAB
from strata.stats.ranks import separation
from strata.stats.svd import svd
from strata.text.tokens import has_leading_space


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
