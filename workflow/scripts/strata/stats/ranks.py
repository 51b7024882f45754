"""Statistics of ranks."""

import warnings

import numpy as np
import xarray as xr
from scipy import stats
from scipy.stats import rankdata

from strata.stats.bootstrap import Bootstrap


def rank_correlation(
    name: str, x: np.ndarray, y: np.ndarray, bootstrap: Bootstrap, dims: tuple[str, ...] = ()
) -> xr.Dataset:
    """Spearman's rank correlation over units (..., unit) with its interval, p (``name_p``) and their number.

    ``dims`` are those before the units. NaN where all of ``x`` or of ``y`` is the same.
    """
    pairs = np.stack(np.broadcast_arrays(x, y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        found = bootstrap.estimate(name, _rho, pairs, dims=dims)
        return found.assign({f"{name}_p": (dims, stats.spearmanrho(*pairs, axis=-1).pvalue)})


def _rho(pairs: np.ndarray, axis: int) -> np.ndarray:
    return stats.spearmanrho(*pairs, axis=axis).statistic


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
