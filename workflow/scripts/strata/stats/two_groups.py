"""Do numbers fall into two groups?"""

from dataclasses import dataclass

import numpy as np
from diptest import diptest
from scipy.stats import norm
from sklearn import config_context
from sklearn.mixture import GaussianMixture

from strata.stats.bootstrap import Bootstrap
from strata.stats.seeding import generator
from strata.stats.thresholds import ASHMANS_D, LEAST_OF_MIXTURE, LEVEL

MOST = 72_000
"""Numbers that the dip's tables reach to."""

LEAST_P = 1e-5
"""What the dip's tables can tell: their last quantile is that of 99.999 %."""


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
    def boundary(self) -> float:
        """Where between the two means the mixture's density is lowest."""
        between, density = self._between()
        return float(between[density.argmin()])

    @property
    def valley(self) -> float:
        _, density = self._between()
        lowest = int(density.argmin())
        return float(density[lowest] / min(density[: lowest + 1].max(), density[lowest:].max()))

    @property
    def two(self) -> bool:
        """Two fit better (BIC), lie further apart than `ASHMANS_D`, and one mode is refused at `LEVEL`."""
        return self.bic_gain > 0 and self.distance > ASHMANS_D and self.one_mode_p < LEVEL

    def density(self, x: np.ndarray) -> np.ndarray:
        """The mixture's density at x."""
        return (self.weights * norm.pdf(np.asarray(x)[..., None], self.means, self.deviations)).sum(-1)

    def _between(self) -> tuple[np.ndarray, np.ndarray]:
        between = np.linspace(*self.means, 513)
        return between, self.density(between)

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
    standard, centre, scale = _standard(values)
    one, two = _fitted(standard, 1), _fitted(standard, 2, starts)
    order = two.means_[:, 0].argsort()
    return Groups(
        two.weights_[order],
        two.means_[order, 0] * scale + centre,
        np.sqrt(two.covariances_[order, 0, 0]) * scale,
        float(one.bic(standard) - two.bic(standard)),
        one_mode_p(standard[:, 0]),
    )


def ashmans_d(values: np.ndarray) -> float:
    """The distance of `two_groups` alone, from a single start: for the many draws of a bootstrap."""
    two = _fitted(_standard(values)[0], 2)
    return float(np.ptp(two.means_) * np.sqrt(2 / two.covariances_.sum()))


def interval_of_distance(values: np.ndarray, bootstrap: Bootstrap) -> np.ndarray:
    """The interval's ends (low and high) of `ashmans_d` of ``values`` (item).

    NaN for fewer items than `LEAST_OF_MIXTURE`. Two distributions fitted to few numbers lie too far apart,
    and fitted to a resample of these further still: the ratio of the two is taken off (the basic bootstrap
    of log D; Davison and Hinkley 1997, section 5.2).
    """
    if len(values) < LEAST_OF_MIXTURE:
        return np.full(2, np.nan)
    distance = ashmans_d(values)
    low, high = bootstrap.ends(lambda x, axis: np.log(np.apply_along_axis(ashmans_d, axis, x)), values)
    return distance**2 / np.exp([high, low])


def _standard(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Values with mean 0 and standard deviation 1 (item, 1), and what both were."""
    centre, scale = values.mean(), values.std()
    return ((np.asarray(values, float) - centre) / scale)[:, None], centre, scale


def _fitted(standard: np.ndarray, n: int, starts: int = 1) -> GaussianMixture:
    with config_context(assume_finite=True, skip_parameter_validation=True):  # a quarter of the time
        return GaussianMixture(n, n_init=starts, random_state=0).fit(standard)


def one_mode_p(values: np.ndarray) -> float:
    """Chance of as large a dip (Hartigan and Hartigan 1985) in flat numbers.

    They are the hardest to tell of all with one mode. At least `LEAST_P`. Of more than `MOST` values that
    many are drawn: the tables end there.
    """
    if len(values) > MOST:
        values = generator(0).choice(values, MOST, replace=False)
    return max(float(diptest(values)[1]), LEAST_P)
