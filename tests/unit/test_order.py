"""The order of categories against slow loops, and on transition depths planted with a known answer."""

from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from oracles.transitions import HOW, ORDER, make_table, normals, one, planted, slow_superiority
from strata.trace.effects import effect_sizes
from strata.trace.order import trend
from strata.trace.pairs import control_run, matched_pairs
from strata.trace.regression import regression
from strata.trace.testing import COLUMNS, Resampling


def both_directions(found):
    return [one(found, group=" ≤ ".join(names)) for names in (ORDER, ORDER[::-1])]


def test_planted_order_is_found_in_its_direction_only():
    forwards, backwards = both_directions(trend(make_table(normals(7, 8, 9)), HOW, ORDER))
    assert forwards["value"] > 0.9 and forwards["low"] > 0.8 and forwards["p"] == 1 / 200
    assert backwards["value"] == pytest.approx(1 - forwards["value"]) and backwards["p"] == 1
    assert forwards["n"] == 90
    forwards, backwards = both_directions(trend(make_table(normals(9, 8, 7)), HOW, ORDER))
    assert forwards["p"] == 1 and backwards["p"] == 1 / 200
    every = trend(make_table(normals(7, 8, 9), ("0.5", "3x")), HOW, ORDER)
    for _, of_level in every.groupby("noise"):
        assert both_directions(of_level)[0]["p"] == 1 / 200
    assert every["noise"].nunique() == 2


def test_without_order_p_is_uniform():
    p = [
        both_directions(trend(make_table(normals(8, 8, 8, n=8, seed=seed)), HOW, ORDER))[0]["p"]
        for seed in range(150)
    ]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.01 <= np.mean(np.array(p) <= 0.1) <= 0.2


def test_permutation_p_is_that_of_all_permutations():
    depths = dict(zip(ORDER, ([1.0, 4], [2.0, 3], [5.0, 3]), strict=True))
    every = [v for group in depths.values() for v in group]

    def statistic(values):
        groups = values[:2], values[2:4], values[4:]
        return sum(slow_superiority(a, b)[0] for a, b in combinations(groups, 2))

    null = np.array([statistic(values) for values in permutations(every)])
    how = Resampling(10, 20_000, 0.9, 0)
    forwards, backwards = both_directions(trend(make_table(depths), how, ORDER))
    assert forwards["value"] == pytest.approx(statistic(every) / 12)
    assert forwards["p"] == pytest.approx((null >= statistic(every)).mean(), abs=0.015)
    assert backwards["p"] == pytest.approx((null <= statistic(every)).mean(), abs=0.015)


def test_a_level_or_a_category_more_changes_nothing():
    depths = normals(8, 8, 8.2)
    alone = trend(make_table(depths), HOW, ORDER)
    more = make_table(depths | {"copying": np.array([1.0, 2])}, ("0.1", "3x"))
    among_others = trend(more.sample(frac=1, random_state=0).sort_index(), HOW, ORDER)
    pd.testing.assert_frame_equal(alone, among_others[among_others["noise"] == "3x"].reset_index(drop=True))
    other = trend(make_table(depths), Resampling(200, 199, 0.9, seed=4), ORDER)
    assert not other["low"].equals(alone["low"])


def test_order_of_fewer_categories_says_which():
    depths = normals(7, 8, 9) | {"plain_english": np.array([np.nan, 8.0])}
    found = trend(make_table(depths), HOW, ORDER)
    assert found["group"].tolist() == ["non_english ≤ semantic", "semantic ≤ non_english"]
    few = trend(make_table({"non_english": np.array([8.0]), "semantic": np.array([8.0, 9])}), HOW, ORDER)
    assert few["group"].tolist() == ["too few prompts"] and few["value"].isna().all()


def test_tables_are_tidy():
    table = planted(0, n=30)
    pairs = pd.DataFrame({"near": [], "far": []}, dtype=object)
    for found in (
        effect_sizes(table, HOW),
        trend(table, HOW, ORDER),
        matched_pairs(table, pairs, HOW),
        control_run(table, table, "prefix", HOW),
        regression(table, 0.9, ORDER),
    ):
        assert found.columns.tolist() == COLUMNS and len(found)
        assert not found.duplicated(["test", "noise", "group", "statistic"]).any()
        assert found["n"].dtype.kind == "i"
