"""Where in depth the answer is handed over: restoring the final token overtakes restoring the subject."""

import numpy as np
import xarray as xr

from strata.names import DEPTH, SITE
from strata.trace.restoration import FINAL, SUBJECT

MARGIN = 1e-4  # by which the final token must lead: below it, float32 noise decides
NEVER, FROM_START, EXCLUDED = "never overtakes", "ahead from the start", "excluded"


def transition_depth(restoration: xr.DataArray, margin: float = MARGIN) -> xr.Dataset:
    """The depth at which restoring the final token overtakes restoring the subject.

    It is the depth from which the final token stays ahead: the zero of the final token's lead after
    the *last* depth at which it does not lead by more than ``margin``, on a straight line between
    that depth and the next. Earlier crossings that are taken back do not count; ``n_overtakings``
    says how many there were in all.

    Parameters
    ----------
    restoration : DataArray (site, depth, ...)
        Depth ascending: the state entering block d, 0..L-1.
    margin : float
        Lead (of restoration, no unit) that counts as being ahead.

    Returns
    -------
    Dataset
        ``transition_depth`` (...), in depths, NaN where undefined; ``transition_reason`` (...), why
        it is undefined ("never overtakes", "ahead from the start", "excluded") or "";
        ``n_overtakings`` (...).
    """
    lead = restoration.sel({SITE: FINAL}, drop=True) - restoration.sel({SITE: SUBJECT}, drop=True)
    lead = lead.transpose(..., DEPTH)
    template = lead.isel({DEPTH: 0}, drop=True)
    ahead = lead.values > margin
    reason = np.select(
        [np.isnan(lead.values).any(-1), ~ahead[..., -1], ahead.all(-1)],
        [EXCLUDED, NEVER, FROM_START],
        default="",
    )
    return xr.Dataset(
        {
            "transition_depth": template.copy(data=crossing(lead.values, lead[DEPTH].values, margin)),
            "transition_reason": template.copy(data=reason.astype(object)),
            "n_overtakings": template.copy(data=(ahead[..., 1:] & ~ahead[..., :-1]).sum(-1)),
        }
    )


def crossing(lead: np.ndarray, depths: np.ndarray, margin: float) -> np.ndarray:
    """Depth [...] from which ``lead`` [..., depth] stays above zero; NaN where there is none."""
    ahead = lead > margin
    last_behind = lead.shape[-1] - 1 - np.argmax(~ahead[..., ::-1], axis=-1)
    defined = ahead[..., -1] & ~ahead.all(-1)
    below = np.where(defined, last_behind, 0)
    above = np.where(defined, last_behind + 1, 0)
    lead_below, lead_above = (
        np.take_along_axis(lead, at[..., None], axis=-1)[..., 0] for at in (below, above)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        fraction = np.clip(-lead_below / (lead_above - lead_below), 0, 1)
    return np.where(defined, depths[below] + fraction * (depths[above] - depths[below]), np.nan)
