"""Labels dealt out again, and how rarely chance does as much."""

import numpy as np
from scipy import stats


def permuted(rng: np.random.Generator, labels: np.ndarray, n: int) -> np.ndarray:
    """``labels`` (..., item) in ``n`` random orders: (permutation, ..., item), each row for itself."""
    return rng.permuted(np.broadcast_to(labels, (n, *labels.shape)), axis=-1)


def permuted_within(rng: np.random.Generator, labels: np.ndarray, groups: np.ndarray, n: int) -> np.ndarray:
    """``labels`` (item) in ``n`` random orders, each staying in its group: (permutation, item)."""
    found = np.tile(labels, (n, 1))
    for group in np.unique(groups):
        items = np.flatnonzero(groups == group)
        found[:, items] = permuted(rng, labels[items], n)
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
