"""The gains of the norms, by layer and channel."""

import numpy as np
import xarray as xr
from scipy import stats

from strata.names import CHANNEL, LAYER

OUTLIER_SCORE = 3.5
"""Modified z-score beyond which a value is an outlier (Iglewicz and Hoaglin 1993)."""


def gain_outliers(gain: xr.DataArray) -> xr.DataArray:
    """Which gains (layer, channel) are outliers of their layer, large or small.

    Outliers of log10 |gain| by their modified z-score, (x - median) / (1.4826 MAD), beyond
    `OUTLIER_SCORE` either way; on a log scale, since a gain turned down to a tenth is as far off as one
    turned up tenfold. Where more than half of the gains are equal, whatever is not is an outlier.
    """
    with np.errstate(divide="ignore"):
        size = np.log10(abs(gain.transpose(LAYER, CHANNEL).astype(float)))
    spread = stats.median_abs_deviation(size.values, axis=1, scale="normal")
    return abs(size - size.median(CHANNEL)) > OUTLIER_SCORE * xr.DataArray(spread, dims=LAYER)
