"""Statistics of ranks."""

import warnings
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import xarray as xr
from scipy import stats
from scipy.stats import rankdata

from strata.stats.bootstrap import Bootstrap
from strata.stats.groups import cluster_means
from strata.stats.spearman import spearman


def rank_correlation(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    bootstrap: Bootstrap,
    dims: tuple[str, ...] = (),
    clusters: np.ndarray | None = None,
) -> xr.Dataset:
    """Spearman's rank correlation over units (..., unit) with its interval, p (``name_p``) and their number.

    ``dims`` are those before the units, ``clusters`` those of `Bootstrap.ends`; p is of one value for
    each cluster, its mean rank. NaN for fewer than three units or where all of ``x`` or of ``y`` is
    the same; the interval also where one side is the same in more resamples than lie outside of the interval.
    """
    pairs = np.stack(np.broadcast_arrays(x, y))
    if pairs.shape[-1] < 3:
        nothing = (dims, np.full(pairs.shape[1:-1], np.nan))
        fields = dict.fromkeys((name, f"{name}_low", f"{name}_high", f"{name}_p"), nothing)
        return xr.Dataset(fields | {f"{name}_n": pairs.shape[-1]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        p = stats.spearmanrho(*(pairs if clusters is None else _mean_ranks(pairs, clusters)), axis=-1).pvalue
    lost = 1 - bootstrap.interval
    how = {"paired": True, "lost": lost, "clusters": clusters, "bounded": True}
    found = bootstrap.estimate(name, spearman, *pairs, dims=dims, **how)
    return found.assign({f"{name}_p": (dims, p)})


def _mean_ranks(values: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Means over clusters (..., cluster) of the ranks of ``values`` (..., unit)."""
    return np.moveaxis(cluster_means(np.moveaxis(rankdata(values, axis=-1), -1, 0), clusters), 0, -1)


def columnwise_rank_correlation(matrix: np.ndarray, y: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of each column of ``matrix`` (item, column) with ``y`` (item).

    Over the items that are ``chosen`` (item); NaN for fewer than three. One column at a time: ranks are
    wider than what is ranked.
    """
    items = np.flatnonzero(chosen)
    if len(items) < 3:
        return np.full(matrix.shape[1], np.nan)
    ranks = rankdata(y[items])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.array([np.corrcoef(rankdata(column[items]), ranks)[0, 1] for column in matrix.T])


def concordance(*groups: np.ndarray, axis: int = -1) -> np.ndarray:
    """Share of the pairs from different groups in which the later group's value is larger.

    Ties count half: 1/2 is no order at all, 1 the order without exception. It is Jonckheere's and
    Terpstra's statistic, divided by the number of pairs; of two groups, Mann's and Whitney's.
    """
    ordered, pairs = 0, 0
    for first, second in combinations(groups, 2):
        n, m = first.shape[axis], second.shape[axis]
        ranks = rankdata(np.concatenate([first, second], axis), axis=axis)
        of_second = np.take(ranks, range(n, n + m), axis).sum(axis)
        ordered, pairs = ordered + of_second - m * (m + 1) / 2, pairs + n * m
    return ordered / pairs


def concordance_bounds(groups: Sequence[np.ndarray], missing: Sequence[int]) -> tuple[float, float]:
    """The least and the largest `concordance` if each group had some more values, which are not known.

    Those of the first group may come before all and those of the last after all, or the reverse; those of a
    group between them lie where they agree the most, or the least, with the values that are known.

    Parameters
    ----------
    groups : arrays (unit)
    missing : int (group)
    """

    def most(groups: Sequence[np.ndarray], missing: Sequence[int]) -> float:
        known = np.unique(np.concatenate(groups))
        places = np.concatenate([known[:1] - 1, (known[1:] + known[:-1]) / 2, known[-1:] + 1])
        best = [-np.inf]
        for k in range(1, len(groups) - 1):
            before, after = (np.sort(np.concatenate(of)) for of in (groups[:k], groups[k + 1 :]))
            agree = np.searchsorted(before, places) - np.searchsorted(after, places)
            best.append(places[agree.argmax()])
        filled = zip(groups, missing, [*best, np.inf], strict=True)
        return float(concordance(*(np.append(group, np.full(n, place)) for group, n, place in filled)))

    return 1 - most(groups[::-1], missing[::-1]), most(groups, missing)


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
    # One column at a time: ranks are wider than scores.
    ranked = (rankdata(column)[:, None] for column in scores.T)
    return np.concatenate([separation_by_rank(ranks, group) for ranks in ranked], axis=-1)


def separation_by_rank(ranks: np.ndarray, group: np.ndarray) -> np.ndarray:
    """`separation` (..., column) of scores whose ``ranks`` (item, column) are known."""
    n_group = group.sum(-1)[..., None]
    n_rest = group.shape[-1] - n_group
    rank_sum = group.astype(float) @ ranks
    with np.errstate(invalid="ignore"):
        return (rank_sum - n_group * (n_group + 1) / 2) / (n_group * n_rest)
