"""The bootstrap against SciPy's own and against draws that are spelled out."""

import numpy as np
import pytest
from scipy import stats

from oracles import intervals
from strata.stats.bootstrap import Bootstrap
from strata.stats.draws import DrawnGroups, check_resampling, interval_of_mean, times_drawn
from strata.stats.groups import cluster_means, cluster_totals, each, masks_by_category, named
from strata.stats.seeding import generator
from strata.stats.thresholds import LEAST_UNITS

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
def test_ends_are_scipys_further_out(statistic, samples, paired, batch):
    """Hesterberg 2015: as Student's t lies beyond the normal, and by sqrt(n / (n - 1))."""
    n = min(sample.shape[-1] for sample in samples)
    found = Bootstrap(200, 0.9, 3, batch).ends(statistic, *samples, paired=paired)
    expected = stats.bootstrap(
        samples,
        statistic,
        n_resamples=200,
        batch=batch,
        vectorized=True,
        paired=paired,
        axis=-1,
        confidence_level=1 - 2 * stats.norm.sf(stats.t.ppf(0.95, n - 1) * np.sqrt(n / (n - 1))),
        method="percentile",
        rng=3,
    ).confidence_interval
    np.testing.assert_allclose(found, np.array(expected), rtol=1e-12)


def test_ends_of_a_mean_are_studentised():
    found = Bootstrap(300, 0.9, 3).ends(np.mean, VALUES)
    np.testing.assert_array_equal(found, interval_of_mean(VALUES, 300, 0.9, generator(3)))


def test_a_test_of_its_own_name_has_its_own_draws():
    plain, one = Bootstrap(50, 0.9, 3), Bootstrap(50, 0.9, 3).of("pair", "3x")
    found = interval_of_mean(VALUES[0], 50, 0.9, generator(3, "pair", "3x"))
    np.testing.assert_array_equal(one.ends(np.mean, VALUES[0]), found)
    assert not np.array_equal(plain.ends(np.mean, VALUES[0]), found)


@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_clusters_are_drawn_as_wholes(statistic):
    """Each value twice is as uncertain as each once: not if the copies were drawn apart."""
    how, twice, kin = Bootstrap(2000, 0.9, 3), np.repeat(VALUES, 2, -1), np.repeat(np.arange(40), 2)
    once, together = how.ends(statistic, VALUES), how.ends(statistic, twice, clusters=kin)
    apart = how.ends(statistic, twice)
    np.testing.assert_allclose(together, once, atol=0.04)
    assert (np.ptp(apart, axis=0) < 0.85 * np.ptp(together, axis=0)).all()
    few = how.ends(statistic, VALUES, clusters=np.arange(40) % (LEAST_UNITS - 1))
    assert few.shape == (2, 3) and np.isnan(few).all()


def test_resamples_may_be_lost():
    values = np.arange(1.0, 17)

    def without_ones(drawn, axis):
        return np.where((drawn == 1).any(axis), np.nan, drawn.mean(axis))

    share = 1 - (15 / 16) ** 16  # of resamples that hold the first value
    how = Bootstrap(400, 0.9, 0)
    assert np.isnan(how.ends(without_ones, values)).all()
    assert np.isnan(how.ends(without_ones, values, lost=share - 0.1)).all()
    low, high = how.ends(without_ones, values, lost=share + 0.1)
    assert 6 < low < 8.5 < high < 12


def test_few_units_have_no_interval_and_none_no_value():
    how = Bootstrap(50, 0.9, 0)
    one = how.estimate("x", np.mean, np.array([[2.0], [np.nan]]), dims=("depth",))
    assert one["x_n"] == 0 and one["x"].isnull().all()
    one = how.estimate("x", np.mean, np.array([[2.0], [3.0]]), dims=("depth",))
    assert one["x"].values.tolist() == [2, 3] and one["x_n"] == 1 and one["x_low"].isnull().all()
    for statistic in (np.mean, np.median):
        few, enough = (how.estimate("x", statistic, VALUES[0, :n]) for n in (LEAST_UNITS - 1, LEAST_UNITS))
        assert few["x_low"].isnull() and enough["x_low"] < enough["x"] < enough["x_high"]


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


@pytest.mark.parametrize("facts", [range(40), [i // 2 if i < 12 else i for i in range(40)]])
def test_interval_of_a_mean_equals_the_loop(facts):
    found = interval_of_mean(VALUES, 300, 0.8, generator(5), np.array(facts))
    names = np.unique(facts)
    times = times_drawn(generator(5), len(names), 300)
    for row, ends in zip(VALUES, found.T, strict=True):
        whole = [row[np.array(facts) == name].tolist() for name in names]
        draws = [[whole[i] for i in np.repeat(range(len(names)), each_time)] for each_time in times]
        np.testing.assert_allclose(ends, intervals.studentised(whole, draws, 0.8))


def test_a_mean_that_few_values_decide_has_ends_all_the_same():
    values = np.zeros(20)
    assert interval_of_mean(values, 300, 0.9, generator(0)).tolist() == [0, 0]
    values[0] = 1
    low, high = interval_of_mean(values, 300, 0.9, generator(0))
    assert -0.2 < low < 0.05 < high < 0.3


def test_groups_are_drawn_as_wholes():
    groups = np.array([0, 0, 1, 2, 2, 2, *range(3, 15)])
    rng = np.random.default_rng(0)
    holds = np.stack([rng.random(18) < 0.5, np.ones(18, bool)])
    drawn = DrawnGroups.of([groups, groups[:2]], 200, generator(1))
    shares = drawn.shares(holds, groups)
    for times, share in zip(drawn.times, shares, strict=True):
        rows = np.concatenate([np.flatnonzero(groups == group) for group in np.repeat(range(15), times)])
        np.testing.assert_allclose(share, holds[:, rows].mean(1))
    of_first = drawn.shares(holds[:, :2], groups[:2])
    np.testing.assert_array_equal(np.isnan(of_first[:, 0]), drawn.times[:, 0] == 0)
    hits, sizes = drawn.totals(holds, groups)
    assert hits[1].tolist() == sizes.tolist() == [2, 1, 3] + [1] * 12 and hits[0].sum() == holds[0].sum()


def test_totals_of_clusters_are_all_that_an_interval_needs():
    """As many sums and sizes as clusters, of which a row may leave some out."""
    clusters = np.repeat(np.arange(20), RNG.integers(1, 5, 20))
    values = RNG.exponential(size=(3, len(clusters)))
    values[2, clusters < 4] = np.nan
    there = ~np.isnan(values)
    sums, sizes = (
        np.stack([np.bincount(clusters, row) for row in part]) for part in (np.nan_to_num(values), there)
    )
    how = Bootstrap(300, 0.9, 3)
    found = how.of_totals("x", sums, sizes, ("row",))
    expected = how.estimate("x", np.mean, values[:2], dims=("row",), clusters=clusters)
    assert found["x_n"] == 20
    for name in ("x", "x_low", "x_high"):
        np.testing.assert_allclose(found[name][:2], expected[name])
    assert float(found["x"][2]) == pytest.approx(np.nanmean(values[2]))
    times = times_drawn(generator(3), 20, 300)
    whole = [[v for v in values[2, clusters == k] if not np.isnan(v)] for k in range(20)]
    draws = [[whole[i] for i in np.repeat(range(20), each_time)] for each_time in times]
    ends = [float(found[f"x_{end}"][2]) for end in ("low", "high")]
    np.testing.assert_allclose(ends, intervals.studentised(whole, draws, 0.9))
    few = how.of_totals("x", sums[2, : 4 + LEAST_UNITS - 1], sizes[2, : 4 + LEAST_UNITS - 1])
    assert few["x"].notnull() and few["x_low"].isnull(), "four of these clusters have no unit"


# Groups -------------------------------------------------------------------------------------


def test_means_of_clusters_equal_the_loop():
    values, clusters = np.arange(24.0).reshape(6, 2, 2) ** 2, np.array(["b", "a", "b", "c", "a", "b"])
    found = cluster_means(values, clusters)
    expected = [[values[i] for i in range(6) if clusters[i] == name] for name in "abc"]
    np.testing.assert_allclose(found, [sum(own) / len(own) for own in expected])
    assert cluster_means(values[:0], clusters[:0]).shape == (0, 2, 2)


def test_totals_of_clusters_equal_the_loop():
    values, clusters = np.array([1.0, np.nan, 3, 5, np.nan]), np.array(["b", "a", "b", "c", "c"])
    assert cluster_totals(values, clusters).tolist() == [[0, 4, 5], [0, 2, 1]]


def test_masks_and_results_by_name():
    masks = masks_by_category(["b", "a", "b"])
    assert list(masks) == ["all", "b", "a"] and masks["b"].tolist() == [True, False, True]
    assert masks_by_category(["b"], ["a"])["a"].tolist() == [False]
    assert named("category", masks).values.tolist() == ["all", "b", "a"]
    how, values = Bootstrap(20, 0.9, 0), np.array([1.0, 5, 3])
    found = how.by_category("x", np.mean, values, masks)
    expected = each("category", masks, lambda name: how.estimate("x", np.mean, values[masks[name]]))
    assert found.identical(expected) and found["x"].values.tolist() == [3, 2, 5]
