"""Effect sizes against slow loops, and on planted differences."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from oracles.transitions import HOW, make_averages, make_table, normals, one, slow_superiority
from strata.stats.ranks import concordance
from strata.trace.effects import category_means, cliffs_delta, effect_sizes, hedges_g, mean_difference
from strata.trace.testing import COLUMNS


def slow_g(first, second):
    n, m = len(first), len(second)
    mean = [sum(v) / len(v) for v in (first, second)]
    squares = sum((v - mean[0]) ** 2 for v in first) + sum((v - mean[1]) ** 2 for v in second)
    return (mean[1] - mean[0]) / np.sqrt(squares / (n + m - 2)) * (1 - 3 / (4 * (n + m) - 9))


def test_means_are_the_averages_and_undefined_transitions_are_counted():
    averages = make_averages({"semantic": np.array([2.0, np.nan, np.nan]), "copying": np.array([4.0])})
    table = category_means(averages)
    assert table.columns.tolist() == COLUMNS
    for category, level in product(("semantic", "copying"), ("0.5", "3x")):
        row = one(table, group=category, noise=level, statistic="mean")
        at = averages.sel(category=category, noise=level)
        expected = [at.transition_mean, at.transition_low, at.transition_high, at.n_transition]
        np.testing.assert_allclose(row[["value", "low", "high", "n"]].astype(float), expected)
    undefined = one(table, statistic="never overtakes", noise="3x")
    assert undefined[["group", "value", "n", "unit"]].tolist() == ["semantic", 2, 3, "prompts"]


@pytest.mark.parametrize("seed", range(3))
def test_effect_sizes_equal_slow_loops(seed):
    rng = np.random.default_rng(seed)
    groups = [rng.integers(0, 6, n).astype(float) for n in (5, 8, 7)]  # with ties
    for first, second in combinations(groups, 2):
        wins, pairs = slow_superiority(first, second)
        assert cliffs_delta(first, second) == pytest.approx(2 * wins / pairs - 1)
        assert hedges_g(first, second) == pytest.approx(slow_g(first, second))
        assert mean_difference(first, second) == pytest.approx(np.mean(second) - np.mean(first))
    counted = [slow_superiority(a, b) for a, b in combinations(groups, 2)]
    expected = sum(c[0] for c in counted) / sum(c[1] for c in counted)
    assert concordance(*groups) == pytest.approx(expected)
    stacked = [np.stack([g, g[::-1], g + 1]) for g in groups]
    np.testing.assert_allclose(concordance(*stacked), expected)


def test_known_effects():
    low, high = np.array([1.0, 2, 3]), np.array([11.0, 12, 13])
    assert cliffs_delta(low, high) == 1 and cliffs_delta(high, low) == -1
    assert hedges_g(low, high) == pytest.approx(10 * 0.8)  # sd 1, 1 - 3 / 15
    assert np.isnan(hedges_g(np.ones(3), np.ones(3)))


def test_effect_sizes_of_every_pair():
    table = make_table(normals(8, 8, 9) | {"invented": np.array([9.0, 9.5, np.nan])})
    found = effect_sizes(table, HOW)
    groups = found["group"].unique().tolist()
    assert groups[:2] == ["non_english to plain_english", "non_english to semantic"] and len(groups) == 6
    first, second = (
        table.loc[table["category"] == c, "transition_depth"] for c in ("non_english", "semantic")
    )
    rows = found[found["group"] == "non_english to semantic"].set_index("statistic")
    assert rows.loc["difference of means", "value"] == pytest.approx(second.mean() - first.mean())
    assert rows.loc["Hedges' g", "value"] == pytest.approx(slow_g(list(first), list(second)))
    assert (rows["low"] < rows["value"]).all() and (rows["value"] < rows["high"]).all()
    assert rows.loc["Cliff's delta", "p"] == pytest.approx(stats.mannwhitneyu(first, second).pvalue)
    assert rows.loc["difference of means", "p"] == pytest.approx(
        stats.ttest_ind(first, second, equal_var=False).pvalue
    )
    assert (rows["n"] == 60).all()
    assert one(found, group="semantic to invented", statistic="difference of means")["n"] == 32
    assert one(found, group="semantic to invented", statistic="Cliff's delta")["n"] == 33  # one never crosses


@pytest.mark.long
def test_intervals_cover_the_planted_difference_as_often_as_they_say():
    hits = {name: 0 for name in ("difference of means", "Hedges' g", "Cliff's delta")}
    truth = {"difference of means": 0.5, "Hedges' g": 1.0, "Cliff's delta": 2 * stats.norm.cdf(0.5**0.5) - 1}
    trials = 100
    for seed in range(trials):
        depths = {c: v for c, v in normals(8, 8.5, 0, n=25, seed=seed).items() if c != "semantic"}
        rows = effect_sizes(make_table(depths), HOW).set_index("statistic")
        for name in hits:
            hits[name] += rows.loc[name, "low"] <= truth[name] <= rows.loc[name, "high"]
    for name, n in hits.items():
        assert 0.78 < n / trials < 0.99, name  # 90 %, four standard errors


def test_categories_without_prompts_have_no_effect_size():
    depths = {
        "semantic": np.array([8.0, 9, 8.5]),
        "copying": np.array([7.0]),
        "repetition": np.full(3, np.nan),
    }
    found = effect_sizes(make_table(depths), HOW)
    by_depth = found[found["statistic"] != "Cliff's delta"]
    assert len(found) == 9 and by_depth["value"].isna().all() and found["low"].isna().all()
    assert set(by_depth["n"]) == {4, 3, 1}
    never = one(found, group="semantic to repetition", statistic="Cliff's delta")  # it comes after all
    assert never["value"] == 1 and never["n"] == 6
    alike = effect_sizes(make_table({"semantic": np.full(3, 8.0), "copying": np.full(4, 8.0)}), HOW)
    assert one(alike, statistic="Cliff's delta")["value"] == 0
    assert np.isnan(one(alike, statistic="Hedges' g")["value"])
