"""Do numbers fall into two groups?"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from sklearn.mixture import GaussianMixture

ASHMANS_D = 2.0
"""Separation above which two normal distributions are two clusters (Ashman, Bird and Zepf 1994)."""


@dataclass(frozen=True)
class Groups:
    """Two normal distributions fitted to numbers, the lower first: weights, means, standard deviations.

    ``distance`` is Ashman's D, sqrt(2) |difference of means| / root of the sum of variances;
    ``bic_gain`` how much better the fit is than one normal distribution's, in BIC (a gain above 10 is
    very strong evidence: Kass and Raftery 1995); ``valley`` the mixture's density at its lowest between
    the two means, over that at the lower of its peaks: 1 where it has one peak only.
    """

    weights: np.ndarray
    means: np.ndarray
    deviations: np.ndarray
    bic_gain: float

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
        """Better than one (BIC), further apart than `ASHMANS_D`, and with a valley between."""
        return self.bic_gain > 0 and self.distance > ASHMANS_D and self.valley < 1

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

    Skewed or heavy-tailed numbers are better fitted by two as well (BIC): only together with the
    distance and the valley does that speak for two groups.
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
    )
