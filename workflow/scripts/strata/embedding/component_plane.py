"""Two components of the embedding together: do two clusters of tokens lie side by side in their plane?"""

import numpy as np
import xarray as xr
from scipy import stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold

from strata.embedding.component_properties import auc_error, groups_by_component
from strata.embedding.names import LEADING_SPACE, PLANE, PROPERTY
from strata.names import COMPONENT, VOCAB
from strata.stats.ranks import separation

FOLDS = 5
"""In which the best direction of the plane is tried on tokens that it was not fitted to."""


def in_plane(
    score: xr.DataArray, properties: xr.Dataset, rows: np.ndarray, least: int, interval: float, seed: int
) -> xr.Dataset:
    """Leading spaces along the best direction in a plane of components.

    Parameters
    ----------
    score : DataArray (component, vocab)
    rows : of the tokens that are asked about

    Returns
    -------
    Dataset
        What `separation_in_plane` returns, ``plane_score`` NaN for other tokens; and what
        `groups_by_component` returns of that score, its names with the prefix ``plane_``.
    """
    some = properties.isel({VOCAB: rows})
    flag = some["flag"].sel({PROPERTY: LEADING_SPACE}).values
    told = separation_in_plane(score.isel({VOCAB: rows}), flag, least=least, interval=interval, seed=seed)
    if not told:
        return told
    along = told["plane_score"].expand_dims({COMPONENT: [0]})
    groups = groups_by_component(along, some).squeeze(COMPONENT, drop=True)
    whole = np.full(score.sizes[VOCAB], np.nan)
    whole[rows] = told["plane_score"]
    prefixed = groups.rename({name: f"plane_{name}" for name in groups.data_vars})
    return xr.merge([told.drop_vars("plane_score"), prefixed]).assign(plane_score=(VOCAB, whole))


def separation_in_plane(
    score: xr.DataArray, flag: np.ndarray, *, least: int, interval: float, seed: int
) -> xr.Dataset:
    """How well the best direction in the plane of two components (`PLANE`) tells which tokens are flagged.

    Two clusters side by side may overlap along either axis. The direction is that of a linear discriminant
    (Fisher 1936).

    Parameters
    ----------
    score : DataArray (component, vocab)
    flag : bool (vocab)
    least : tokens with the flag, and without, for it to be asked

    Returns
    -------
    Dataset
        ``plane_weight`` (component), the direction: of length 1, and 0 off the plane; ``plane_score`` (vocab)
        along it; ``plane_auc`` with ``_low`` and ``_high`` (DeLong et al. 1988), in which every token has its
        score along a direction fitted to other folds. Empty if there are too few tokens or components.
    """
    if min(flag.sum(), (~flag).sum()) < least or not set(PLANE) <= set(score[COMPONENT].values):
        return xr.Dataset()
    plane = score.sel({COMPONENT: list(PLANE)}).transpose(VOCAB, COMPONENT)
    values, held_out = plane.values.astype(float), np.empty(len(flag))
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(values, flag):
        held_out[test] = values[test] @ _discriminant(values[train], flag[train])
    auc = float(separation(held_out[:, None], flag)[0])
    reach = stats.norm.isf((1 - interval) / 2) * float(auc_error(held_out[:, None], flag[None])[0, 0])
    weight = _discriminant(values, flag)
    every = plane[COMPONENT].copy(data=weight).reindex({COMPONENT: score[COMPONENT]}, fill_value=0)
    return xr.Dataset(
        {
            "plane_weight": (COMPONENT, every.values),
            "plane_score": (VOCAB, values @ weight),
            "plane_auc": auc,
            "plane_auc_low": max(auc - reach, 0),
            "plane_auc_high": min(auc + reach, 1),
        },
        coords={COMPONENT: score[COMPONENT].values},
    )


def _discriminant(values: np.ndarray, flag: np.ndarray) -> np.ndarray:
    """The direction (column), of length 1, in which values (item, column) best tell which are flagged."""
    weight = LinearDiscriminantAnalysis().fit(values, flag).coef_[0]
    return weight / np.linalg.norm(weight)
