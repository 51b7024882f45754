"""The order of categories against slow loops, and on transition depths planted with a known answer."""

from itertools import combinations, permutations, product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from oracles.transitions import HOW, ORDER, make_table, normals, one, planted, slow_superiority
from strata.stats.ranks import concordance, concordance_bounds
from strata.trace.effects import effect_sizes
from strata.trace.order import exclusion, trend
from strata.trace.pairs import control_run, matched_pairs
from strata.trace.regression import regression
from strata.trace.testing import COLUMNS, CORRECTED, Resampling, corrected, row, table_of

GROUP = " ≤ ".join(ORDER)


def result(found, **where):
    return one(found, **{"test": "order", "statistic": "concordance"} | where)


def test_planted_order_is_found_with_its_direction():
    found = result(trend(make_table(normals(7, 8, 9)), HOW, ORDER))
    assert found["value"] > 0.9 and found["low"] > 0.8 and found["p"] == 1 / 200 and found["n"] == 90
    found = result(trend(make_table(normals(9, 8, 7)), HOW, ORDER))
    assert found["value"] < 0.1 and found["high"] < 0.2 and found["p"] == 1 / 200
    every = trend(make_table(normals(7, 8, 9), ("0.5", "3x")), HOW, ORDER)
    assert [result(every, noise=level)["p"] for level in ("0.5", "3x")] == [1 / 200] * 2


@pytest.mark.long
@pytest.mark.parametrize("kin", [False, True], ids=["a prompt a fact", "pairs of one fact"])
def test_without_order_p_is_uniform(kin):
    p = []
    for seed in range(150):
        table = make_table(normals(8, 8, 8, n=8, seed=seed))
        if kin:  # two prompts of one fact cross almost together; only one category has such pairs
            twins = table[table["category"] == "semantic"]
            twins = twins.assign(prompt=twins["prompt"] + "-far", place=twins["place"] + 0.01)
            table = pd.concat([table, twins], ignore_index=True)
        p.append(result(trend(table, HOW, ORDER))["p"])
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.04 <= np.mean(np.array(p) <= 0.1) <= 0.2


def test_permutation_p_is_that_of_all_permutations():
    depths = dict(zip(ORDER, ([1.0, 4], [2.0, 3], [5.0, 3]), strict=True))
    every = [v for group in depths.values() for v in group]

    def statistic(values):
        groups = values[:2], values[2:4], values[4:]
        return sum(slow_superiority(a, b)[0] for a, b in combinations(groups, 2)) / 12

    null = np.array([statistic(values) for values in permutations(every)])
    how = Resampling(10, 20_000, 0.9, 0)
    found = result(trend(make_table(depths), how, ORDER))
    assert found["value"] == pytest.approx(statistic(every))
    as_far = np.abs(null - 0.5) >= abs(statistic(every) - 0.5) - 1e-9
    assert found["p"] == pytest.approx(as_far.mean(), abs=0.015)


def test_prompts_of_one_fact_count_once():
    table = make_table(normals(8, 8, 8.3, n=20))
    twice = pd.concat([table, table.assign(prompt=table["prompt"] + "-far")], ignore_index=True)
    once, both = (result(trend(t, HOW, ORDER)) for t in (table, twice))
    assert once.drop("test").tolist() == both.drop("test").tolist()


def test_what_never_crosses_comes_last_and_what_is_excluded_is_bounded():
    depths = normals(7, 7.5, 8, n=20)
    table = make_table(depths)
    late = table["category"] == "semantic"
    table.loc[late, ["transition_depth", "place"]] = [np.nan, np.inf]
    assert result(trend(table, HOW, ["plain_english", "semantic"]))["value"] == 1
    excluded = table.groupby("category").cumcount() < 5
    table.loc[excluded, ["transition_depth", "place"]] = np.nan
    two = ["non_english", "plain_english"]
    found = trend(table, HOW, two)
    inner = result(found)
    assert inner["n"] == 30
    bounds = [
        one(found, statistic=f"concordance, {name} with excluded prompts anywhere")
        for name in ("least", "most")
    ]
    known = [depths[c][5:] for c in two]
    for bound, ends in zip(bounds, ([99, -99], [-99, 99]), strict=True):
        filled = [[*group, *[end] * 5] for group, end in zip(known, ends, strict=True)]
        assert bound["value"] == pytest.approx(slow_superiority(*filled)[0] / 400) and bound["n"] == 40


@pytest.mark.long
def test_bounds_are_the_extremes_of_every_placement():
    rng = np.random.default_rng(0)
    groups, missing = [rng.normal(size=n) for n in (3, 4, 3)], (1, 2, 1)
    places = [-9, *np.sort(np.concatenate(groups)) + 1e-6, 9]
    found = []
    for first, one_of, other, last in product(places, repeat=4):
        filled = [[*groups[0], first - 0.1], [*groups[1], one_of, other], [*groups[2], last + 0.1]]
        found.append(concordance(*map(np.array, filled)))
        filled[0][-1], filled[2][-1] = first + 0.1, last - 0.1
        found.append(concordance(*map(np.array, filled)))
    np.testing.assert_allclose(concordance_bounds(groups, missing), [min(found), max(found)])
    assert concordance_bounds(groups, (0, 0, 0)) == pytest.approx([concordance(*groups)] * 2)


def test_with_several_levels_the_same_prompts_are_compared_too():
    table = make_table(normals(8, 8, 8.2), ("0.5", "3x"))
    gone = (table["noise"] == "0.5") & (table["prompt"] < "non_english-2")
    table.loc[gone, ["transition_depth", "place"]] = np.nan
    found = trend(table, HOW, ORDER)
    rows = found[found["test"] == "order, prompts that count at every noise"]
    assert rows["n"].tolist() == [90 - gone.sum()] * 2 and gone.sum() > 5
    kept = trend(table[(table["noise"] == "3x") & ~table["prompt"].isin(table["prompt"][gone])], HOW, ORDER)
    assert rows["value"].iloc[1] == result(kept)["value"]


def test_categories_are_compared_in_how_many_prompts_noise_leaves_alone():
    table = make_table(normals(8, 8, 8, n=40))
    assert one(exclusion(table, HOW, ORDER), statistic="largest less smallest")[["value", "p"]].tolist() == [
        0,
        1,
    ]
    few = (table["category"] == "semantic") & (table.groupby("category").cumcount() < 16)
    found = exclusion(table.assign(place=table["place"].mask(few)), HOW, ORDER)
    row = one(found, group="semantic")
    assert (
        row["value"] == pytest.approx(0.4) and 0.2 < row["low"] < 0.4 < row["high"] < 0.65 and row["n"] == 40
    )
    row = one(found, statistic="largest less smallest")
    assert row["value"] == pytest.approx(0.4) and row["p"] == 1 / 200 and row["group"] == ", ".join(ORDER)


def test_a_level_or_a_category_more_changes_nothing():
    depths = normals(8, 8, 8.2)
    alone = trend(make_table(depths), HOW, ORDER)
    more = make_table(depths | {"copying": np.array([1.0, 2])}, ("0.1", "3x"))
    among_others = trend(more.sample(frac=1, random_state=0).sort_index(), HOW, ORDER)
    among_others = among_others[among_others["test"] == "order"]
    pd.testing.assert_frame_equal(alone, among_others[among_others["noise"] == "3x"].reset_index(drop=True))
    other = trend(make_table(depths), Resampling(200, 199, 0.9, seed=4), ORDER)
    assert not other["low"].equals(alone["low"])


def test_order_of_fewer_categories_says_which():
    depths = normals(7, 8, 9) | {"plain_english": np.array([8.0])}
    found = trend(make_table(depths), HOW, ORDER)
    assert set(found["group"]) == {"non_english ≤ semantic"}
    few = trend(make_table({"non_english": np.array([8.0]), "semantic": np.array([8.0, 9])}), HOW, ORDER)
    assert few["group"].tolist() == ["too few facts"] and few["value"].isna().all()


def test_p_is_corrected_within_its_family():
    p = [0.01, 0.02, 0.5, np.nan]
    rows = [row("pair", "3x", str(i), "delta", 1, p=each, n=9) for i, each in enumerate(p)]
    rows.append(row("order", "3x", "a", "concordance", 1, p=0.04, n=9))
    found = corrected(table_of(rows))
    assert found.columns.tolist() == CORRECTED
    np.testing.assert_allclose(found["p_adjusted"], [0.03, 0.04, 0.5, np.nan, 0.04])
    assert found["family"].tolist() == [*["pair, delta: 3 (Holm)"] * 3, "", "order, concordance: 1 (Holm)"]
    many = corrected(table_of([row("pair", "3x", str(i), "g", 1, p=(i + 1) / 100, n=9) for i in range(30)]))
    np.testing.assert_allclose(many["p_adjusted"], 0.3)  # Benjamini and Hochberg: p 30 / rank, from above
    assert set(many["family"]) == {"pair, g: 30 (Benjamini-Hochberg)"}


def test_tables_are_tidy():
    table = planted(0, n=30)
    pairs = pd.DataFrame({"near": [], "far": []}, dtype=object)
    for found in (
        effect_sizes(table, HOW),
        trend(table, HOW, ORDER),
        exclusion(table, HOW, ORDER),
        matched_pairs(table, pairs, HOW),
        control_run(table, table, "prefix", HOW),
        regression(table, 0.9, ORDER),
    ):
        assert found.columns.tolist() == COLUMNS and len(found)
        assert not found.duplicated(["test", "noise", "group", "statistic"]).any()
        assert found["n"].dtype.kind == "i"
