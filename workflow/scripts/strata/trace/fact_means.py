"""Means over the prompts of many facts, with their errors, summed piece by piece."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from strata.stats.defined import ratio
from strata.stats.draws import error_of_mean

DENSE = 20
"""Entries for each that is not zero up to which a whole matrix multiplies faster than a sparse one."""


class Means(NamedTuple):
    """Means over the prompts of facts, (..., noise, ...) after what is drawn, as are the others.

    ``error`` is their standard error, which takes the prompts of a fact together
    (`strata.stats.draws.error_of_mean`); ``n_facts``, (..., noise), how many facts count.
    """

    mean: np.ndarray
    error: np.ndarray
    n_facts: np.ndarray


class Totals:
    """What `Means` of resamples need of the facts drawn, summed piece by piece: sums and squares of facts."""

    def __init__(self, n_resamples: int):
        self._n_resamples = n_resamples
        self._sums = self._squares = self._crossed = 0
        self._counts = self._squared_counts = self._n_facts = 0

    def add(self, values: np.ndarray, which: np.ndarray, fact: np.ndarray, resample: np.ndarray) -> None:
        """Add facts as they were drawn, each with all its prompts.

        Parameters
        ----------
        values : array [value, noise, ...]
            NaN, everything of a noise level, where a prompt does not count.
        which : int array [prompt drawn]
            Which of the values is its.
        fact : int array [prompt drawn]
            Which of the facts below it belongs to.
        resample : int array [fact drawn]
            In which resample each fact was drawn.
        """
        self._shape = values.shape[1:]
        by_level = values.reshape(*values.shape[:2], -1)
        counts = ~np.isnan(by_level[..., 0])
        if not counts.all():
            by_level = np.where(counts[..., None], by_level, 0)
        counts, sums = counts.astype(float), by_level.reshape(len(values), -1)
        if len(resample) < len(fact):
            of_fact = _adder(fact, which, (len(resample), len(values)))
            counts, sums = of_fact @ counts, of_fact @ sums
            of_resample = _adder(resample, np.arange(len(sums)), (self._n_resamples, len(sums)))
        else:
            of_resample = _adder(resample[fact], which, (self._n_resamples, len(values)))
        total = of_resample @ sums
        self._sums = self._sums + total
        if counts.max(initial=0) > 1:
            each = np.repeat(counts, sums.shape[1] // counts.shape[1], axis=1)
            total = of_resample @ (sums * each)
        self._crossed = self._crossed + total
        self._squares = self._squares + of_resample @ sums**2
        self._counts = self._counts + of_resample @ counts
        self._squared_counts = self._squared_counts + of_resample @ counts**2
        self._n_facts = self._n_facts + of_resample @ (counts > 0).astype(float)

    def means(self) -> Means:
        """Of every resample, [resample, noise, ...]."""
        n, squared, n_facts = (
            each[..., None] for each in (self._counts, self._squared_counts, self._n_facts)
        )
        sums, crossed, squares = (
            each.reshape(*n.shape[:2], -1) for each in (self._sums, self._crossed, self._squares)
        )
        mean = ratio(sums, n)
        squares = np.maximum(squares - 2 * mean * crossed + mean**2 * squared, 0)
        error = error_of_mean(squares, n_facts, n)
        shape = (self._n_resamples, *self._shape)
        return Means(mean.reshape(shape), error.reshape(shape), self._n_facts)


def mean_over_facts(values: np.ndarray, facts: np.ndarray) -> Means:
    """The mean over all prompts, [noise, ...], of ``values`` [prompt, noise, ...].

    NaN where a prompt does not count; ``facts`` [prompt], the name of what each asks.
    """
    names, fact = np.unique(facts, return_inverse=True)
    totals = Totals(1)
    totals.add(values, np.arange(len(values)), fact, np.zeros(len(names), int))
    return Means(*(part[0] for part in totals.means()))


def _adder(groups: np.ndarray, items: np.ndarray, shape: tuple[int, int]) -> np.ndarray | sparse.csr_array:
    """The matrix [group, item] that adds up items, some several times, where each of them is of a group."""
    adder = sparse.csr_array((np.ones(len(groups)), (groups, items)), shape=shape)
    return adder.toarray() if np.prod(shape) < DENSE * len(groups) else adder
