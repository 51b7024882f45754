"""Do numbers fall into two groups?"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import norm
from sklearn.mixture import GaussianMixture

ASHMANS_D = 2.0
"""Separation above which two normal distributions are two clusters (Ashman, Bird and Zepf 1994)."""

LEVEL = 0.01
"""Of the test for one mode."""

NULL_SIZE = 300


@dataclass(frozen=True)
class Groups:
    """Two normal distributions fitted to numbers, the lower first: weights, means, standard deviations.

    ``distance`` is Ashman's D, sqrt(2) |difference of means| / root of the sum of variances;
    ``bic_gain`` how much better the fit is than one normal distribution's, in BIC (a gain above 10 is
    very strong evidence: Kass and Raftery 1995); ``one_mode_p`` the chance of so deep a dip if there is one
    mode only, see `one_mode_p`; ``valley`` the mixture's density at its lowest between the two means, over
    that at the lower of its peaks: 1 where it has one peak only.
    """

    weights: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    bic_gain: float
    one_mode_p: float

    @property
    def distance(self) -> float:
        return float(np.ptp(self.means) * np.sqrt(2 / (self.deviations**2).sum()))

    @property
    def valley(self) -> float:
        density = self.density(np.linspace(*self.means, 513))
        lowest = int(density.argmin())
        return float(density[lowest] / min(density[: lowest + 1].max(), density[lowest:].max()))

    @property
    def two(self) -> bool:
        """Two fit better (BIC), lie further apart than `ASHMANS_D`, and one mode is refused at `LEVEL`."""
        return self.bic_gain > 0 and self.distance > ASHMANS_D and self.one_mode_p < LEVEL

    def density(self, x: np.ndarray) -> np.ndarray:
        """The mixture's density at x."""
        return (self.weights * norm.pdf(np.asarray(x)[..., None], self.means, self.deviations)).sum(-1)

    def is_upper(self, x: np.ndarray) -> np.ndarray:
        """Which of x more likely belong to the upper distribution."""
        lower, upper = np.moveaxis(
            self.weights * norm.pdf(np.asarray(x)[..., None], self.means, self.deviations), -1, 0
        )
        return upper > lower


def two_groups(values: np.ndarray, starts: int = 3) -> Groups:
    """Fit two normal distributions to ``values`` (item), and one, and say which does better.

    Skewed, flat or heavy-tailed numbers are better fitted by two as well (BIC), and flat ones with two that
    lie apart: only together with a dip in the numbers themselves does that speak for two groups.
    """
    centre, scale = values.mean(), values.std()
    standard = ((np.asarray(values, float) - centre) / scale)[:, None]
    one, two = (GaussianMixture(n, n_init=starts, random_state=0).fit(standard) for n in (1, 2))
    order = two.means_[:, 0].argsort()
    return Groups(
        two.weights_[order],
        two.means_[order, 0] * scale + centre,
        np.sqrt(two.covariances_[order, 0, 0]) * scale,
        float(one.bic(standard) - two.bic(standard)),
        one_mode_p(standard[:, 0]),
    )


def one_mode_p(values: np.ndarray) -> float:
    """Chance that flat numbers, the hardest to tell of all with one mode, have as large a dip (`dip`).

    By simulation: a thousand draws of as many numbers, or of `NULL_SIZE` if there are more, since the
    dip of flat numbers falls as 1 / sqrt(n).
    """
    n = len(values)
    null = _dips_of_flat(min(n, NULL_SIZE))
    return float((1 + (null >= np.sqrt(n) * dip(values)).sum()) / (1 + len(null)))


def dip(values: np.ndarray) -> float:
    """Hartigan and Hartigan's dip (1985): how far at least the distribution is from any with one mode.

    The largest difference of cumulative distributions, between 1 / (2 n) and 1/4. The interval in which the
    mode may lie is narrowed down: on it a convex function is fitted from below and a concave one from above;
    where they lie furthest apart are the next interval's ends, until no more is to be gained.
    """
    place, counts = np.unique(values, return_counts=True)
    above = counts.cumsum().astype(float)  # each step's upper end
    below = above - counts
    low, high, largest = 0, len(place) - 1, 1.0
    while low < high:
        inside = slice(low, high + 1)
        convex = low + _hull(place[inside], below[inside])
        concave = low + _hull(place[inside], -above[inside])
        under = np.interp(place[inside], place[convex], below[convex])
        over = np.interp(place[inside], place[concave], above[concave])
        gap = over - under
        knots = np.union1d(convex, concave)
        furthest = knots[gap[knots - low].argmax()]
        if gap[furthest - low] <= largest:
            break
        new_low = convex[convex <= furthest].max()
        new_high = concave[concave >= furthest].min()
        if (new_low, new_high) == (low, high):
            break
        left = (above[inside] - under)[: new_low - low]
        right = (over - below[inside])[new_high - low + 1 :]
        largest = max(largest, left.max(initial=0), right.max(initial=0))
        low, high = new_low, new_high
    return float(largest / (2 * len(values)))


def _hull(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Indices of the knots of the greatest convex function below the points; x ascends."""
    kept: list[int] = []
    for i in range(len(x)):
        while len(kept) > 1:
            a, b = kept[-2], kept[-1]
            if (y[b] - y[a]) * (x[i] - x[b]) < (y[i] - y[b]) * (x[b] - x[a]):
                break
            kept.pop()
        kept.append(i)
    return np.array(kept)


@lru_cache
def _dips_of_flat(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.sqrt(n) * np.array([dip(rng.random(n)) for _ in range(1000)])
