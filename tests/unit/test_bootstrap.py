"""The bootstrap against SciPy's own and against draws that are spelled out."""

import numpy as np
import pytest
from scipy import stats

from strata.stats.bootstrap import Bootstrap
from strata.stats.defined import percentiles
from strata.stats.draws import DrawnGroups, check_resampling, interval_of_mean, times_drawn, units_drawn
from strata.stats.groups import each, masks_by_category, named
from strata.stats.seeding import generator

RNG = np.random.default_rng(4)
VALUES, OTHERS = RNG.normal(size=(3, 40)), RNG.normal(size=17)


def difference(one, other, axis):
    return one.mean(axis) - other.mean(axis)


@pytest.mark.parametrize(
    ("statistic", "samples", "paired"),
    [
        (np.median, [VALUES], False),
        (difference, [VALUES[0], OTHERS], False),
        (difference, [VALUES[0], VALUES[1]], True),
    ],
)
@pytest.mark.parametrize("batch", [None, 30])
def test_ends_are_scipys(statistic, samples, paired, batch):
    found = Bootstrap(200, 0.9, 3, batch).ends(statistic, *samples, paired=paired)
    expected = stats.bootstrap(
        samples,
        statistic,
        n_resamples=200,
        batch=batch,
        vectorized=True,
        paired=paired,
        axis=-1,
        confidence_level=0.9,
        method="percentile",
        rng=3,
    ).confidence_interval
    np.testing.assert_array_equal(found, np.array(expected))


def test_units_are_drawn_as_everywhere():
    drawn = VALUES[0][units_drawn(generator(3), 40, 500)].mean(-1)
    found = Bootstrap(500, 0.9, 3).ends(np.mean, VALUES[0])
    np.testing.assert_allclose(found, percentiles(drawn, 0.9), rtol=1e-12)


def test_a_test_of_its_own_name_has_its_own_draws():
    plain, one = Bootstrap(50, 0.9, 3), Bootstrap(50, 0.9, 3).of("pair", "3x")
    drawn = VALUES[0][units_drawn(generator(3, "pair", "3x"), 40, 50)].mean(-1)
    np.testing.assert_allclose(one.ends(np.mean, VALUES[0]), percentiles(drawn, 0.9), rtol=1e-12)
    assert not np.array_equal(plain.ends(np.mean, VALUES[0]), one.ends(np.mean, VALUES[0]))


def test_resamples_may_be_lost():
    values = np.array([1.0, 2, 3, 4, 5, 6])

    def without_ones(drawn, axis):
        return np.where((drawn == 1).any(axis), np.nan, drawn.mean(axis))

    share = 1 - (5 / 6) ** 6  # of resamples that hold the first value
    how = Bootstrap(400, 0.9, 0)
    assert np.isnan(how.ends(without_ones, values)).all()
    assert np.isnan(how.ends(without_ones, values, lost=share - 0.1)).all()
    low, high = how.ends(without_ones, values, lost=share + 0.1)
    assert 2 < low < 4 < high < 6


def test_one_unit_has_no_interval_and_none_no_value():
    how = Bootstrap(50, 0.9, 0)
    one = how.estimate("x", np.mean, np.array([[2.0], [np.nan]]), dims=("depth",))
    assert one["x_n"] == 0 and one["x"].isnull().all()
    one = how.estimate("x", np.mean, np.array([[2.0], [3.0]]), dims=("depth",))
    assert one["x"].values.tolist() == [2, 3] and one["x_n"] == 1 and one["x_low"].isnull().all()


@pytest.mark.parametrize(
    ("resamples", "interval", "message"), [(0, 0.9, "resamples.* not 0"), (9, 1.0, "coverage.* not 1.0")]
)
def test_what_cannot_be_drawn_is_refused(resamples, interval, message):
    for make in (check_resampling, lambda *of: Bootstrap(*of, 0)):
        with pytest.raises(ValueError, match=message):
            make(resamples, interval)


# Draws as counts ----------------------------------------------------------------------------


def test_times_drawn_add_up_and_are_fair():
    times = times_drawn(generator(0), 7, 3, 2000)
    assert times.shape == (3, 2000, 7) and (times.sum(-1) == 7).all()
    np.testing.assert_allclose(times.mean((0, 1)), 1, atol=0.06)
    np.testing.assert_allclose(times.var((0, 1)), 6 / 7, atol=0.06)


def test_interval_of_a_mean_equals_the_loop():
    found = interval_of_mean(VALUES, 300, 0.8, generator(5))
    times = times_drawn(generator(5), 40, 300)
    for row, ends in zip(VALUES, found.T, strict=True):
        means = [np.repeat(row, each_time).mean() for each_time in times]
        np.testing.assert_allclose(ends, np.quantile(means, [0.1, 0.9]))
    assert np.isnan(interval_of_mean(VALUES[:, :1], 300, 0.8, generator(5))).all()


def test_groups_are_drawn_as_wholes():
    groups = np.array([0, 0, 1, 2, 2, 2])
    holds = np.array([[1, 0, 1, 0, 0, 1], [1, 1, 1, 1, 1, 1]], bool)
    drawn = DrawnGroups.of([groups, groups[:2]], 200, generator(1))
    shares = drawn.shares(holds, groups)
    for times, share in zip(drawn.times, shares, strict=True):
        rows = np.concatenate([np.flatnonzero(groups == group) for group in np.repeat(range(3), times)])
        np.testing.assert_allclose(share, holds[:, rows].mean(1))
    of_first = drawn.shares(holds[:, :2], groups[:2])
    np.testing.assert_array_equal(np.isnan(of_first[:, 0]), drawn.times[:, 0] == 0)


# Groups -------------------------------------------------------------------------------------


def test_masks_and_results_by_name():
    masks = masks_by_category(["b", "a", "b"])
    assert list(masks) == ["all", "b", "a"] and masks["b"].tolist() == [True, False, True]
    assert masks_by_category(["b"], ["a"])["a"].tolist() == [False]
    assert named("category", masks).values.tolist() == ["all", "b", "a"]
    how, values = Bootstrap(20, 0.9, 0), np.array([1.0, 5, 3])
    found = how.by_category("x", np.mean, values, masks)
    expected = each("category", masks, lambda name: how.estimate("x", np.mean, values[masks[name]]))
    assert found.identical(expected) and found["x"].values.tolist() == [3, 2, 5]
