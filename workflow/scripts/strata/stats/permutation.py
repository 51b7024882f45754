"""Labels dealt out again, and how rarely chance does as much."""

from collections.abc import Iterator

import numpy as np
from scipy import stats

from strata.stats.draws import tile_sizes

TILE_VALUES = 1_000_000
"""Labels in other orders that are held at once (8 MB)."""


def permuted(rng: np.random.Generator, labels: np.ndarray, n: int) -> np.ndarray:
    """``labels`` (..., item) in ``n`` random orders: (permutation, ..., item), each row for itself."""
    return rng.permuted(np.broadcast_to(labels, (n, *labels.shape)), axis=-1)


def permuted_in_tiles(rng: np.random.Generator, labels: np.ndarray, n: int) -> Iterator[np.ndarray]:
    """The same orders of ``labels`` (item), as many at a time as have `TILE_VALUES` labels."""
    for size in tile_sizes(n, len(labels), TILE_VALUES):
        yield permuted(rng, labels, size)


def permuted_within(
    rng: np.random.Generator, labels: np.ndarray, groups: np.ndarray, clusters: np.ndarray, n: int
) -> np.ndarray:
    """``labels`` (item) in ``n`` random orders, each staying in its group: (permutation, item).

    The labels of one cluster (item), such as the wordings of a fact, stay together: clusters of as many items
    of a group change places, and within each the labels do (Winkler et al. 2015).
    """
    (_, group), (_, cluster) = (np.unique(of, return_inverse=True) for of in (groups, clusters))
    _, kin = np.unique(group * len(cluster) + cluster, return_inverse=True)
    size = np.bincount(kin)[kin]
    found = np.tile(labels, (n, 1))
    for of_group, k in sorted(set(zip(group.tolist(), size.tolist(), strict=True))):
        items = np.flatnonzero((group == of_group) & (size == k))
        items = items[kin[items].argsort(kind="stable")].reshape(-1, k)  # (cluster, item of it)
        dealt = permuted(rng, np.arange(len(items)), n)
        found[:, items] = rng.permuted(labels[items[dealt]], axis=-1)
    return found


def p_value(as_extreme: np.ndarray, axis: int = 0) -> np.ndarray:
    """From which permutations are as extreme as what was found: (count + 1) / (permutations + 1).

    What was found is one of the orders that chance could have dealt, so p is never 0 (Davison and Hinkley
    1997, section 4.2).
    """
    return (1 + as_extreme.sum(axis)) / (1 + as_extreme.shape[axis])


def sign_flip_p(
    differences: np.ndarray, permutations: int, rng: np.random.Generator, batch: int | None = None
) -> float:
    """p of the mean of paired differences if either sign were as likely, two-sided; NaN for fewer than two.

    Of all flips of signs where they are no more than ``permutations``.
    """
    if len(differences) < 2:
        return np.nan
    return stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=permutations,
        batch=batch,
        rng=rng,
    ).pvalue
