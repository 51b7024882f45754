"""p of a family's tests together, and intervals of shares of units."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from strata.stats.many_tests import (
    BENJAMINI_HOCHBERG,
    FEW,
    HOLM,
    SMALLEST,
    above_zero,
    adjusted,
    with_adjusted,
)
from strata.stats.shares import interval_of_share, share_of_units
from strata.stats.thresholds import LEAST_UNITS


def holm(p):
    """Step by step: the smallest times how many are left, and no later one is smaller than an earlier."""
    found, highest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, p[index] * (len(p) - rank)))
        found[index] = highest
    return found


def benjamini_hochberg(p):
    """From the largest down: times how many there are over its rank, and no earlier one is larger."""
    found, lowest = [0.0] * len(p), 1.0
    for rank, index in reversed(list(enumerate(sorted(range(len(p)), key=p.__getitem__), start=1))):
        lowest = min(lowest, p[index] * len(p) / rank)
        found[index] = lowest
    return found


@pytest.mark.parametrize(
    "n,slow,told", [(FEW, holm, HOLM), (FEW + 1, benjamini_hochberg, BENJAMINI_HOCHBERG)]
)
def test_few_are_corrected_by_holm_and_many_by_benjamini_and_hochberg(n, slow, told):
    p = (np.random.default_rng(n).random(n) ** 3).round(3) + 0.001
    (found,), words = adjusted(p)
    np.testing.assert_allclose(found, slow(p.tolist()))
    assert words == f"{n} ({told})"


def test_parts_are_one_family_whatever_their_shape_and_nan_is_no_test():
    parts = np.array([[0.01, np.nan], [0.5, 0.04]]), np.array([0.03])
    found, words = adjusted(*parts, method=HOLM)
    np.testing.assert_allclose(found[0], [[0.04, np.nan], [0.5, 0.09]])
    np.testing.assert_allclose(found[1], [0.09])
    assert words == "4 (Holm)"
    nothing, words = adjusted(np.array([np.nan]))
    assert np.isnan(nothing[0]).all() and words == "0 (Holm)"


def test_no_p_is_zero():
    assert above_zero(np.array([0, 1e-300, 0.2])).tolist() == [SMALLEST, SMALLEST, 0.2]
    assert np.float32(SMALLEST) > 0 and adjusted(np.zeros(3))[0][0].tolist() == [3 * SMALLEST] * 3
    tested = xr.Dataset({"a_p": ("x", [0, 0.5]), "b_p": 0.01}).assign(c=1)
    found = with_adjusted(tested, "a_p", "b_p")
    assert found["a_p"].values.tolist() == [SMALLEST, 0.5] and found["c"] == 1
    np.testing.assert_allclose(found["a_p_adjusted"], [3 * SMALLEST, 0.5])
    assert float(found["b_p_adjusted"]) == pytest.approx(0.02)
    assert {found[f"{name}_p_adjusted"].attrs["family"] for name in "ab"} == {"a_p, b_p: 3 (Holm)"}


# Shares of units ----------------------------------------------------------------------------


def test_the_interval_of_a_share_is_wilsons_with_students_t():
    """Its ends are those shares p that lie t standard errors, of their own, from what was found."""
    values = np.array([[1.0] * 3 + [0] * 21, [0.0] * 24, [1.0] * 24])
    t = stats.t.ppf(0.95, 23)
    for share, low, high in zip(values.mean(1), *interval_of_share(values, 0.9), strict=True):
        for end in (low, high):
            assert abs(share - end) == pytest.approx(t * np.sqrt(end * (1 - end) / 24), abs=1e-9)
        assert -1e-12 < low <= share <= high < 1 + 1e-12
    halves = np.repeat([0.5, 1.0, 0.0], 8)  # units between 0 and 1 vary less
    whole = np.repeat([1.0, 0.0], 12)
    widths = [np.ptp(interval_of_share(each, 0.9)) for each in (halves, whole)]
    assert widths[0] < 0.9 * widths[1]


def test_few_units_have_no_interval_and_none_no_share():
    few, enough = (share_of_units("x", np.ones(n, bool), 0.9) for n in (LEAST_UNITS - 1, LEAST_UNITS))
    assert few["x"] == 1 and np.isnan(few["x_low"]) and few["x_n"] == LEAST_UNITS - 1
    assert 0.7 < enough["x_low"] < enough["x_high"] == pytest.approx(1)
    assert np.isnan(share_of_units("x", np.ones(0, bool), 0.9)["x"])


@pytest.mark.parametrize("n,truth", [(15, 0.05), (20, 0.2), (60, 0.02), (100, 0.5)])
def test_intervals_of_shares_cover(n, truth):
    """Exactly: the sum of the binomial's probabilities of what has the truth in its interval."""
    found = [interval_of_share(np.arange(n) < k, 0.95) for k in range(n + 1)]
    covers = [low <= truth <= high for low, high in found]
    assert 0.925 < stats.binom.pmf(np.arange(n + 1), n, truth)[covers].sum() < 0.995
