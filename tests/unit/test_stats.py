"""Seeds, permutations, ranks, and what is done where values are undefined."""

import math
from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from strata.progress import silent
from strata.stats.bootstrap import Bootstrap
from strata.stats.defined import mean_of_defined, percentiles, ratio
from strata.stats.permutation import p_value, permuted, permuted_within, sign_flip_p
from strata.stats.ranks import columnwise_rank_correlation, rank_correlation
from strata.stats.seeding import digest, generator
from strata.stats.spearman import spearman, spearman_of_times

# Seeds --------------------------------------------------------------------------------------


def test_a_stream_depends_on_its_seed_and_names_alone():
    streams = [(0,), (1,), (0, "a"), (0, "b"), (0, "a", "b"), (0, "ab"), (0, "b", "a"), (0, 3), (0, 3, "a")]
    first = [generator(*of).random(4) for of in streams]
    for i, j in product(range(len(streams)), repeat=2):
        assert np.array_equal(first[i], first[j]) == (i == j), (streams[i], streams[j])
    np.testing.assert_array_equal(first[2], generator(0, "a").random(4))
    np.testing.assert_array_equal(first[0], np.random.default_rng(0).random(4))
    np.testing.assert_array_equal(first[7], generator(0, np.int64(3)).random(4))


def test_digests_are_those_of_all_names_in_their_order():
    assert len(digest("a")) == 32 and digest("a", 1) == digest("a", "1") != digest("a1")
    assert digest("a", "b") != digest("b", "a")


# Permutations -------------------------------------------------------------------------------


def test_every_row_is_dealt_out_again_by_itself():
    labels = np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
    found = permuted(generator(0), labels, 600)
    assert found.shape == (600, 2, 4)
    np.testing.assert_array_equal(np.sort(found, -1), np.broadcast_to(labels, found.shape))
    orders, counts = np.unique(found[:, 0], axis=0, return_counts=True)
    assert len(orders) == math.factorial(4) and stats.chisquare(counts).pvalue > 0.001
    assert abs(np.corrcoef(found[:, 0, 0], found[:, 1, 0])[0, 1]) < 0.15


def test_labels_stay_in_their_groups():
    labels, groups = np.arange(7), np.array(list("abababa"))
    found = permuted_within(generator(0), labels, groups, np.arange(7), 50)
    for group in "ab":
        own = found[:, groups == group]
        np.testing.assert_array_equal(np.sort(own), np.tile(labels[groups == group], (50, 1)))
    assert len(np.unique(found, axis=0)) > 20


def test_labels_of_one_cluster_stay_together():
    """Two pairs and two single items in a group, and an item elsewhere: 2 · (2 · 2) · 2 orders."""
    labels, groups = np.array([1, 2, 3, 4, 5, 6, 7]), np.array(list("aaaaaab"))
    clusters = np.array(["one", "other", "one", "x", "other", "y", "one"])
    found = permuted_within(generator(0), labels, groups, clusters, 800)
    orders, counts = np.unique(found, axis=0, return_counts=True)
    expected = [
        (first[0], second[0], first[1], *single[:1], second[1], *single[1:], 7)
        for pairs in permutations([(1, 3), (2, 5)])
        for first in permutations(pairs[0])
        for second in permutations(pairs[1])
        for single in permutations([4, 6])
    ]
    assert sorted(map(tuple, orders.tolist())) == sorted(expected) and len(expected) == 16
    assert stats.chisquare(counts).pvalue > 0.001


def test_p_is_never_zero():
    as_extreme = np.array([[True, False, False], [True, False, True], [True, False, False]])
    assert p_value(as_extreme).tolist() == [1, 0.25, 0.5]
    assert p_value(as_extreme, axis=1).tolist() == [0.5, 0.75, 0.5]


@pytest.mark.parametrize("differences", [[0.1, 0.4, 0.2, 0.3], [0.1, -0.4, 0.2, 0.3, 0.05]])
def test_sign_flips_are_all_tried_where_they_are_few(differences):
    differences = np.array(differences)
    flips = np.array(list(product([1, -1], repeat=len(differences))))
    means = (flips * differences).mean(1)
    mean, slack = differences.mean(), 1e-12
    one_sided = (means >= mean - slack).mean(), (means <= mean + slack).mean()
    assert sign_flip_p(differences, 1000, generator(0)) == pytest.approx(min(1, 2 * min(one_sided)))
    drawn = sign_flip_p(np.tile(differences, 4), 200, generator(0), batch=50)
    assert 0 < drawn <= 1 and drawn * 201 / 2 == pytest.approx(round(drawn * 201 / 2))
    assert math.isnan(sign_flip_p(differences[:1], 100, generator(0)))


# Ranks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [1, 10**6])
def test_rank_correlations_of_resamples_are_those_of_what_is_drawn(tile, monkeypatch):
    """Values repeated as often as they are drawn, and ranked by SciPy."""
    monkeypatch.setattr("strata.stats.spearman.TILE_VALUES", tile)
    rng = np.random.default_rng(0)
    rows, y = rng.integers(0, 5, (3, 30)).astype(float), rng.normal(size=30).round(1)
    times = rng.multinomial(30, np.full(30, 1 / 30), size=20)
    times[0] = 0
    times[0, 7] = 30  # one unit alone
    expected = [[spearman(np.repeat(row, drawn), np.repeat(y, drawn)) for drawn in times] for row in rows]
    np.testing.assert_allclose(spearman_of_times(rows, y, times), expected)
    np.testing.assert_allclose(spearman_of_times(y, rows, times), expected)
    np.testing.assert_allclose(spearman_of_times(rows[1], y, times), expected[1])
    np.testing.assert_allclose(spearman_of_times(rows, rows, times)[:, 1:], 1)
    assert np.isnan(expected)[:, 0].all() and not np.isnan(expected)[:, 1:].any()


def test_clusters_of_units_are_drawn_together_for_a_rank_correlation():
    """Copies of a unit, a cluster each, add nothing: the interval is that of the units."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=40)
    y = x + rng.normal(size=40)
    one = Bootstrap(500, 0.9, 0).ends(spearman, x, y, paired=True, bounded=True)
    copied = (np.repeat(of, 4) for of in (x, y, np.arange(40)))
    *pair, clusters = copied
    of_four = Bootstrap(500, 0.9, 0).ends(spearman, *pair, paired=True, bounded=True, clusters=clusters)
    np.testing.assert_allclose(of_four, one)


def test_rank_correlations_are_spearmans():
    rng = np.random.default_rng(0)
    matrix, y = rng.integers(0, 9, (30, 4)).astype(float), rng.normal(size=30)
    chosen = np.arange(30) % 3 > 0
    expected = [stats.spearmanr(column[chosen], y[chosen]).statistic for column in matrix.T]
    np.testing.assert_allclose(columnwise_rank_correlation(matrix, y, chosen), expected)
    np.testing.assert_allclose(spearman(matrix[chosen].T, y[chosen]), expected)
    found = rank_correlation("rho", matrix[chosen].T, y[chosen], Bootstrap(300, 0.9, 0), dims=("column",))
    np.testing.assert_allclose(found["rho"], expected)
    p = [stats.spearmanr(column[chosen], y[chosen]).pvalue for column in matrix.T]
    np.testing.assert_allclose(found["rho_p"], p)
    assert found["rho_n"] == 20 and (found["rho_low"] < found["rho"]).all()
    assert (found["rho"] < found["rho_high"]).all()


def test_p_of_a_rank_correlation_is_of_clusters():
    """Copies of a unit are no evidence, and of several units of a cluster the mean rank counts."""
    rng = np.random.default_rng(1)
    x, y, how = rng.normal(size=20), rng.normal(size=20), Bootstrap(50, 0.9, 0)
    once = rank_correlation("rho", x, y, how)["rho_p"]
    again = rank_correlation("rho", np.tile(x, 4), np.tile(y, 4), how, clusters=np.tile(np.arange(20), 4))
    assert float(again["rho_p"]) == pytest.approx(float(once))
    kin = np.arange(20) % 7
    means = [[stats.rankdata(v)[kin == k].mean() for k in range(7)] for v in (x, y)]
    found = rank_correlation("rho", x, y, how, clusters=kin)
    assert float(found["rho_p"]) == pytest.approx(stats.spearmanr(*means).pvalue)
    assert float(found["rho"]) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_two_units_or_a_constant_have_no_correlation():
    how = Bootstrap(50, 0.9, 0)
    few = rank_correlation("rho", np.array([1.0, 2]), np.array([1.0, 2]), how)
    constant = rank_correlation("rho", np.ones(9), np.arange(9.0), how)
    for found, n in ((few, 2), (constant, 9)):
        assert found["rho_n"] == n
        assert all(np.isnan(found[name]) for name in ("rho", "rho_low", "rho_high", "rho_p"))
    assert np.isnan(columnwise_rank_correlation(np.eye(3), np.arange(3.0), np.arange(3) < 2)).all()


def test_a_side_that_hardly_varies_has_a_correlation_and_no_interval():
    x = np.array([4.0] * 19 + [5])
    found = rank_correlation("rho", x, np.arange(20.0), Bootstrap(200, 0.9, 0))
    assert found["rho"] > 0.2 and np.isnan(found["rho_low"])
    x[:4] = 3
    found = rank_correlation("rho", x, np.arange(20.0), Bootstrap(200, 0.9, 0))
    assert found["rho_low"] < found["rho"] < found["rho_high"]


# Undefined values ---------------------------------------------------------------------------

GAPS = np.array([[1.0, np.nan, 3], [np.nan, np.nan, np.nan], [4, 6, 8]])


def test_means_and_ratios_of_what_is_defined():
    np.testing.assert_array_equal(mean_of_defined(GAPS, 1), [2, np.nan, 6])
    np.testing.assert_array_equal(mean_of_defined(GAPS, 0), [2.5, 6, 5.5])
    np.testing.assert_array_equal(ratio(np.array([1, 2, 0]), np.array([2, 0, 0])), [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(ratio(np.ones((2, 1)), np.array([0, 4])), [[np.nan, 0.25]] * 2)


def test_percentiles_of_what_is_defined():
    found = percentiles(GAPS, 0.5)
    np.testing.assert_allclose(found, [[1.5, np.nan, 5], [2.5, np.nan, 7]])
    np.testing.assert_allclose(percentiles(GAPS.T, 0.5, axis=0), found)
    np.testing.assert_allclose(percentiles(GAPS, 0.5, lost=0.2), [[np.nan, np.nan, 5], [np.nan, np.nan, 7]])
    np.testing.assert_allclose(percentiles(GAPS, 0.5, lost=0.4), found)
    values = np.random.default_rng(0).normal(size=1000)
    np.testing.assert_allclose(percentiles(values, 0.95), np.quantile(values, [0.025, 0.975]), rtol=1e-12)


def test_progress_is_silent():
    assert list(silent(permutations("ab"), "orders")) == [("a", "b"), ("b", "a")]
