"""Channels of the embedding and position matrices."""

import numpy as np
import xarray as xr
from sklearn.mixture import GaussianMixture

from strata.names import POSITION

ASHMANS_D = 2.0
"""Separation above which two normal distributions are two clusters (Ashman, Bird and Zepf 1994)."""


def position_active(position_embedding: xr.DataArray) -> tuple[np.ndarray, str]:
    """Which channels the position embedding moves, and in words how that was decided.

    Two normal distributions are fitted to log10 of each channel's standard deviation over positions. The
    upper one's channels are active if the fit is better than one distribution (BIC) and the two lie apart
    (Ashman's D above `ASHMANS_D`); else there are no two groups, and none is.

    Parameters
    ----------
    position_embedding : DataArray (position, channel)

    Returns
    -------
    active : bool array (channel)
    told : str
    """
    spread = position_embedding.astype(float).std(POSITION).values
    size = np.log10(np.maximum(spread, np.finfo(float).tiny))[:, None]
    one, two = (GaussianMixture(n, n_init=5, random_state=0).fit(size) for n in (1, 2))
    separation = np.ptp(two.means_) * np.sqrt(2 / two.covariances_.sum())
    if two.bic(size) >= one.bic(size) or separation <= ASHMANS_D:
        return np.zeros(len(size), bool), "no two groups of channels in the position embedding"
    active = two.predict(size) == two.means_.argmax()
    return active, f"two groups of channels in the position embedding (Ashman's D {separation:.1f})"
