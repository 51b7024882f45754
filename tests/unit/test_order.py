"""The order of categories against slow loops, and on transition depths planted with a known answer."""

from itertools import combinations, permutations, product

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from strata.trace import order
from strata.trace.order import COLUMNS, CONTINUOUS, INDICATORS, ORDER, Resampling

HOW = Resampling(n_resamples=200, n_permutations=199, interval=0.9, seed=3)


def make_table(depths, levels=("3x",), seed=0):
    """A table of `transitions`: ``depths`` of each category, confounders at random."""
    rng = np.random.default_rng(seed)
    rows = []
    for category, values in depths.items():
        for i, depth in enumerate(values):
            confounders = dict(zip(CONTINUOUS, rng.normal(size=len(CONTINUOUS)), strict=True))
            confounders |= dict.fromkeys(INDICATORS, float(i % 4 == 0))
            for noise in levels:
                row = {"prompt": f"{category}-{i}", "category": category, "noise": noise}
                row |= {"transition_depth": depth, "transition_reason": ""}
                rows.append(row | confounders)
    table = pd.DataFrame(rows)
    table.loc[table["transition_depth"].isna(), "transition_reason"] = "never overtakes"
    return table


def make_averages(depths, n_depths=6, seed=0):
    """Averages with ``depths`` (NaN: never overtakes), curves at random, at two noise levels."""
    rng = np.random.default_rng(seed)
    category = np.array([c for c, values in depths.items() for _ in values])
    values = np.concatenate(list(depths.values()))
    both = np.stack([values, values], axis=1)
    dims = ("category", "noise")
    shape = (len(depths), 2)
    return xr.Dataset(
        {
            "transition_depth": (("prompt", "noise"), both),
            "transition_reason": (("prompt", "noise"), np.where(np.isnan(both), "never overtakes", "")),
            "included": (("prompt", "noise"), np.full(both.shape, True)),
            "restoration_prompt": (
                ("prompt", "noise", "site", "depth"),
                rng.normal(0, 0.1, (len(values), 2, 2, n_depths)),
            ),
            "transition_mean": (dims, rng.uniform(size=shape)),
            "transition_low": (dims, rng.uniform(size=shape)),
            "transition_high": (dims, rng.uniform(size=shape)),
            "n_transition": (dims, rng.integers(5, 9, shape)),
        },
        coords={
            "prompt": [f"p{i}" for i in range(len(values))],
            "prompt_category": ("prompt", category),
            "category": list(depths),
            "noise": ["0.5", "3x"],
            "site": ["subject", "final"],
            "depth": np.arange(n_depths),
        },
    )


def one(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1, table
    return table.iloc[0]


def normals(*means, n=30, sd=0.5, seed=0):
    rng = np.random.default_rng(seed)
    return {c: rng.normal(mean, sd, n) for c, mean in zip(ORDER, means, strict=True)}


# The table -----------------------------------------------------------------------------------


def test_confounders_of_prompts():
    averages = make_averages({"semantic": np.array([2.5]), "copying": np.array([np.nan])})
    prompts = pd.DataFrame(
        {
            "id": ["other", "p1", "p0"],
            "n_tokens": [3, 9, 12],
            "subject_start": [0, 3, 1],
            "subject_position": [0, 4, 1],
            "subject_n_tokens": [1, 2, 1],
            "subject_id": [7, 8, 9],
            "target_id": [8, 9, 7],
            "p_target": [0.2, 1.0, 0.75],
        }
    )
    counts = pd.DataFrame({"token_id": [9, 8, 7], "count": [0, 99, 999]})
    table = order.transitions(averages, prompts, counts)
    assert len(table) == 4
    first = one(table, prompt="p0", noise="3x")
    assert first["category"] == "semantic" and first["transition_depth"] == 2.5
    assert first[["distance", "log_target_count", "log_subject_count", "log_position"]].tolist() == [
        10,
        3,
        0,
        1,
    ]
    assert first["logit_clean"] == pytest.approx(np.log(3)) and first["several_tokens"] == 0
    second = one(table, prompt="p1", noise="0.5")
    assert np.isnan(second["transition_depth"]) and second["transition_reason"] == "never overtakes"
    assert second[["distance", "log_target_count", "log_subject_count", "log_position"]].tolist() == [
        4,
        0,
        2,
        2,
    ]
    assert second["logit_clean"] == pytest.approx(np.log(1e6), rel=1e-4) and second["several_tokens"] == 1
    with pytest.raises(ValueError, match="p1"):
        order.transitions(averages, prompts[prompts["id"] != "p1"], counts)


def test_means_are_the_averages_and_undefined_transitions_are_counted():
    averages = make_averages({"semantic": np.array([2.0, np.nan, np.nan]), "copying": np.array([4.0])})
    table = order.category_means(averages)
    assert table.columns.tolist() == COLUMNS
    for category, level in product(("semantic", "copying"), ("0.5", "3x")):
        row = one(table, group=category, noise=level, statistic="mean")
        at = averages.sel(category=category, noise=level)
        expected = [at.transition_mean, at.transition_low, at.transition_high, at.n_transition]
        np.testing.assert_allclose(row[["value", "low", "high", "n"]].astype(float), expected)
    undefined = one(table, statistic="never overtakes", noise="3x")
    assert undefined[["group", "value", "n", "unit"]].tolist() == ["semantic", 2, 3, "prompts"]


# Effect sizes --------------------------------------------------------------------------------


def slow_superiority(first, second):
    wins = [(b > a) + 0.5 * (b == a) for a in first for b in second]
    return sum(wins), len(wins)


def slow_g(first, second):
    n, m = len(first), len(second)
    mean = [sum(v) / len(v) for v in (first, second)]
    squares = sum((v - mean[0]) ** 2 for v in first) + sum((v - mean[1]) ** 2 for v in second)
    return (mean[1] - mean[0]) / np.sqrt(squares / (n + m - 2)) * (1 - 3 / (4 * (n + m) - 9))


@pytest.mark.parametrize("seed", range(3))
def test_effect_sizes_equal_slow_loops(seed):
    rng = np.random.default_rng(seed)
    groups = [rng.integers(0, 6, n).astype(float) for n in (5, 8, 7)]  # with ties
    for first, second in combinations(groups, 2):
        wins, pairs = slow_superiority(first, second)
        assert order.cliffs_delta(first, second) == pytest.approx(2 * wins / pairs - 1)
        assert order.hedges_g(first, second) == pytest.approx(slow_g(first, second))
        assert order.mean_difference(first, second) == pytest.approx(np.mean(second) - np.mean(first))
    counted = [slow_superiority(a, b) for a, b in combinations(groups, 2)]
    expected = sum(c[0] for c in counted) / sum(c[1] for c in counted)
    assert order.concordance(*groups) == pytest.approx(expected)
    stacked = [np.stack([g, g[::-1], g + 1]) for g in groups]
    np.testing.assert_allclose(order.concordance(*stacked), expected)


def test_known_effects():
    low, high = np.array([1.0, 2, 3]), np.array([11.0, 12, 13])
    assert order.cliffs_delta(low, high) == 1 and order.cliffs_delta(high, low) == -1
    assert order.hedges_g(low, high) == pytest.approx(10 * 0.8)  # sd 1, 1 - 3 / 15
    assert np.isnan(order.hedges_g(np.ones(3), np.ones(3)))


def test_effect_sizes_of_every_pair():
    table = make_table(normals(8, 8, 9) | {"invented": np.array([9.0, 9.5, np.nan])})
    found = order.effect_sizes(table, HOW)
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
    assert one(found, group="semantic to invented", statistic="Cliff's delta")["n"] == 32


def test_intervals_cover_the_planted_difference_as_often_as_they_say():
    hits = {name: 0 for name in ("difference of means", "Hedges' g", "Cliff's delta")}
    truth = {"difference of means": 0.5, "Hedges' g": 1.0, "Cliff's delta": 2 * stats.norm.cdf(0.5**0.5) - 1}
    trials = 100
    for seed in range(trials):
        depths = {c: v for c, v in normals(8, 8.5, 0, n=25, seed=seed).items() if c != "semantic"}
        rows = order.effect_sizes(make_table(depths), HOW).set_index("statistic")
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
    found = order.effect_sizes(make_table(depths), HOW)
    assert len(found) == 9 and found["value"].isna().all() and found["low"].isna().all()
    assert set(found["n"]) == {4, 3, 1}
    alike = order.effect_sizes(make_table({"semantic": np.full(3, 8.0), "copying": np.full(4, 8.0)}), HOW)
    assert one(alike, statistic="Cliff's delta")["value"] == 0
    assert np.isnan(one(alike, statistic="Hedges' g")["value"])


# The order -----------------------------------------------------------------------------------


def both_directions(found):
    return [one(found, group=" ≤ ".join(names)) for names in (ORDER, ORDER[::-1])]


def test_planted_order_is_found_in_its_direction_only():
    forwards, backwards = both_directions(order.trend(make_table(normals(7, 8, 9)), HOW))
    assert forwards["value"] > 0.9 and forwards["low"] > 0.8 and forwards["p"] == 1 / 200
    assert backwards["value"] == pytest.approx(1 - forwards["value"]) and backwards["p"] == 1
    assert forwards["n"] == 90
    forwards, backwards = both_directions(order.trend(make_table(normals(9, 8, 7)), HOW))
    assert forwards["p"] == 1 and backwards["p"] == 1 / 200
    every = order.trend(make_table(normals(7, 8, 9), ("0.5", "3x")), HOW)
    for _, of_level in every.groupby("noise"):
        assert both_directions(of_level)[0]["p"] == 1 / 200
    assert every["noise"].nunique() == 2


def test_without_order_p_is_uniform():
    p = [
        both_directions(order.trend(make_table(normals(8, 8, 8, n=8, seed=seed)), HOW))[0]["p"]
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
    forwards, backwards = both_directions(order.trend(make_table(depths), how))
    assert forwards["value"] == pytest.approx(statistic(every) / 12)
    assert forwards["p"] == pytest.approx((null >= statistic(every)).mean(), abs=0.015)
    assert backwards["p"] == pytest.approx((null <= statistic(every)).mean(), abs=0.015)


def test_a_level_or_a_category_more_changes_nothing():
    depths = normals(8, 8, 8.2)
    alone = order.trend(make_table(depths), HOW)
    more = make_table(depths | {"copying": np.array([1.0, 2])}, ("0.1", "3x"))
    beside = order.trend(more.sample(frac=1, random_state=0).sort_index(), HOW)
    pd.testing.assert_frame_equal(alone, beside[beside["noise"] == "3x"].reset_index(drop=True))
    other = order.trend(make_table(depths), Resampling(200, 199, 0.9, seed=4))
    assert not other["low"].equals(alone["low"])


def test_order_of_fewer_categories_says_which():
    depths = normals(7, 8, 9) | {"plain_english": np.array([np.nan, 8.0])}
    found = order.trend(make_table(depths), HOW)
    assert found["group"].tolist() == ["non_english ≤ semantic", "semantic ≤ non_english"]
    nothing = order.trend(make_table({"semantic": np.array([8.0, 9])}), HOW)
    assert nothing["group"].tolist() == ["too few prompts"] and nothing["value"].isna().all()


# Pairs ---------------------------------------------------------------------------------------


def make_prompts(**columns):
    base = {"category": "semantic", "subject": "France", "target": " Paris", "subject_position": 1}
    table = pd.DataFrame({"id": ["a", "a-far", "b", "c-far"], "n_tokens": [5, 9, 5, 12]} | columns)
    return table.assign(**{name: value for name, value in base.items() if name not in columns})


def test_prompts_are_paired_by_id_or_by_column():
    assert order.pair_prompts(make_prompts()).to_dict("records") == [{"near": "a", "far": "a-far"}]
    named = make_prompts(pair_id=["", "x", None, "x"], n_tokens=[5, 12, 5, 9])
    assert order.pair_prompts(named).to_dict("records") == [{"near": "c-far", "far": "a-far"}]
    assert order.pair_prompts(make_prompts(id=list("abcd"))).empty


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"subject": ["France", "Spain", "x", "y"]}, "a, a-far.*subject differ"),
        ({"target": [" Paris", " Lyon", "x", "y"]}, "target differ"),
        ({"category": ["semantic", "copying", "x", "y"]}, "category differ"),
        ({"n_tokens": [5, 5, 5, 5]}, "different distances"),
        ({"pair_id": ["x", "x", "x", ""]}, "a, a-far, b"),
    ],
)
def test_what_is_no_pair_is_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        order.pair_prompts(make_prompts(**columns))


def test_paired_difference_and_its_sign_flips():
    near = np.array([8.0, 8.5, 7.9, 8.2, 8.0, 8.1])
    far = near + [0.5, 0.2, 0.3, 0.1, np.nan, 0.4]
    table = make_table({"semantic": near})
    table = pd.concat([table, make_table({"semantic": far}).assign(prompt=lambda t: t["prompt"] + "-far")])
    pairs = pd.DataFrame({"near": [f"semantic-{i}" for i in range(7)]})
    pairs["far"] = pairs["near"] + "-far"  # the seventh was not traced
    found = order.matched_pairs(table, pairs, HOW)
    row = one(found, group="far less near, all", statistic="mean difference")
    assert row["value"] == pytest.approx(0.3) and row["n"] == 5
    assert row["p"] == pytest.approx(2 / 2**5)  # all of one sign
    assert 0.1 < row["low"] < 0.3 < row["high"] < 0.5
    lost = one(found, group="far less near, all", statistic="without a transition")
    assert lost[["value", "n", "unit"]].tolist() == [2, 7, "pairs"]
    of_category = one(found, group="far less near, semantic", statistic="without a transition")
    assert of_category[["value", "n"]].tolist() == [1, 6]


def test_control_run_is_paired_by_prompt():
    plain = make_table(normals(8, 8, 8) | {"copying": np.array([np.nan])}, ("0.5", "3x"))
    control = plain.assign(transition_depth=plain["transition_depth"] + (plain["category"] == "semantic"))
    found = order.control_run(plain, control.sample(frac=1, random_state=1), "prefix", HOW)
    rows = found[(found["noise"] == "3x") & (found["statistic"] == "mean difference")].set_index("group")
    semantic = rows.loc["prefix less plain, semantic"]
    assert semantic[["value", "low", "high"]].tolist() == pytest.approx([1, 1, 1])
    assert semantic["p"] < 0.02
    assert rows.loc["prefix less plain, plain_english", ["value", "p"]].tolist() == [0, 1]
    assert rows.loc["prefix less plain, all", "value"] == pytest.approx(1 / 3)
    assert np.isnan(rows.loc["prefix less plain, copying", "value"])


def test_paired_p_is_uniform_without_a_difference():
    p = []
    for seed in range(100):
        plain, control = (
            make_table({"semantic": normals(8, 8, 8, n=12, seed=s)["semantic"]})
            for s in (seed, -1 - seed + 10**6)
        )
        found = order.control_run(plain, control, "prefix", HOW)
        p.append(one(found, group="prefix less plain, all", statistic="mean difference")["p"])
    assert stats.kstest(p, "uniform").pvalue > 0.01


# Curves --------------------------------------------------------------------------------------


def test_planted_difference_of_curves_is_found_where_it_is():
    averages = make_averages({"invented": np.full(20, 8.0), "semantic": np.full(25, 8.0)})
    averages["restoration_prompt"][:20, 1, 0, 3] += 0.3
    averages["restoration_prompt"][..., 0] = 1.0  # alike in all prompts: no spread
    found = order.curve_difference(averages, "invented", "semantic", HOW)
    assert found.columns.tolist() == [*COLUMNS[:4], "site", "depth", *COLUMNS[4:]]
    at = found[found["noise"] == "3x"]
    differ = (at["low"] > 0) | (at["high"] < 0)
    assert at.loc[differ, ["site", "depth"]].to_numpy().tolist() == [["subject", 3]]
    values = averages["restoration_prompt"].values[:, 1, 0, 3]
    row = one(at, site="subject", depth=3)
    assert row["value"] == pytest.approx(values[:20].mean() - values[20:].mean())
    assert row["p"] == 1 / 200 and row["n"] == 45
    np.testing.assert_array_equal(at["p"] <= 0.1, differ)
    alike = at[at["depth"] == 0]
    assert (alike["value"].abs() < 1e-12).all() and (alike["p"] == 1).all()


def test_curves_without_a_difference_are_rarely_told_apart():
    trials, differ = 150, 0
    for seed in range(trials):
        averages = make_averages({"invented": np.full(8, 8.0), "semantic": np.full(9, 8.0)}, seed=seed)
        found = order.curve_difference(averages.isel(noise=[0]), "invented", "semantic", HOW)
        differ += (found["p"] <= 0.1).any()
    assert 0.02 < differ / trials < 0.19  # 10 % of curves as a whole, not of 12 depths and sites


def test_excluded_prompts_take_no_part_in_curves():
    averages = make_averages({"invented": np.full(6, 8.0), "semantic": np.full(6, 8.0)})
    averages["restoration_prompt"][0] = np.nan
    averages["included"][0] = False
    found = order.curve_difference(averages, "invented", "semantic", HOW)
    assert (found["n"] == 11).all() and found["value"].notna().all()
    few = order.curve_difference(averages.isel(prompt=slice(4, None)), "invented", "copying", HOW)
    assert few["value"].isna().all() and few["p"].isna().all()


# Regression ----------------------------------------------------------------------------------


def planted(seed, n=150, noise=0.3):
    """Depth = 9 - 0.8 non_english - 0.4 plain_english + 0.25 distance - 0.5 several tokens + noise."""
    rng = np.random.default_rng(seed)
    table = make_table({c: np.zeros(n // 3) for c in ORDER}, seed=seed)
    # A confounder: distances grow from category to category.
    table["distance"] += table["category"].map(dict(zip(ORDER, (0, 1, 2), strict=True)))
    table["transition_depth"] = (
        9.0
        - 0.8 * (table["category"] == "non_english")
        - 0.4 * (table["category"] == "plain_english")
        + 0.25 * table["distance"]
        - 0.5 * table["several_tokens"]
        + rng.normal(0, noise, len(table)) * (1 + (table["distance"] > 1))
    )
    return table


def test_regression_recovers_planted_coefficients():
    table = planted(0, n=3000, noise=0.05)
    found = order.regression(table, 0.95).query("test == 'regression' and statistic == 'coefficient'")
    value = found.set_index("group")["value"]
    expected = {"non_english": -0.8, "plain_english": -0.4, "several_tokens": -0.5}
    expected |= dict.fromkeys(("logit_clean", "log_target_count", "log_subject_count", "log_position"), 0)
    expected["distance"] = 0.25 * table["distance"].std()
    assert set(value.index) == set(expected)
    for name, coefficient in expected.items():
        assert value[name] == pytest.approx(coefficient, abs=0.02), name
    alone = order.regression(table, 0.95).query("test == 'regression, category alone'")
    # Left alone, category takes the distance's part: 2 tokens nearer, 0.5 depths earlier.
    assert one(alone, group="non_english", statistic="coefficient")["value"] == pytest.approx(-1.3, abs=0.05)


def test_regression_intervals_cover_as_often_as_they_say():
    hits, trials = 0, 150
    for seed in range(trials):
        found = order.regression(planted(seed, n=90), 0.9)
        row = one(found, test="regression", group="plain_english", statistic="coefficient")
        hits += row["low"] <= -0.4 <= row["high"]
    assert 0.8 < hits / trials < 0.99  # 90 %, four standard errors


def test_regression_equals_its_formulas():
    table = planted(3, n=60)
    found = order.regression(table, 0.9)
    names = ["non_english", "plain_english", *CONTINUOUS, *INDICATORS]
    columns = [np.ones(60)]
    for name in names:
        values = table[name] if name in table else (table["category"] == name).astype(float)
        standard = name in CONTINUOUS
        columns.append((values - values.mean()) / values.std(ddof=1) if standard else values)
    x = np.column_stack(columns)
    for test, y in (
        ("regression", table["transition_depth"].to_numpy()),
        ("regression of ranks", stats.rankdata(table["transition_depth"]) / 60),
    ):
        inverse = np.linalg.inv(x.T @ x)
        coefficients = inverse @ x.T @ y
        residual = (y - x @ coefficients) / (1 - np.diag(x @ inverse @ x.T))
        error = np.sqrt(np.diag(inverse @ (x.T * residual**2) @ x @ inverse))  # HC3
        t = stats.t(60 - x.shape[1])
        for i, name in enumerate(names, start=1):
            row = one(found, test=test, group=name, statistic="coefficient")
            assert row["value"] == pytest.approx(coefficients[i])
            assert row["low"] == pytest.approx(coefficients[i] - t.ppf(0.95) * error[i])
            assert row["high"] == pytest.approx(coefficients[i] + t.ppf(0.95) * error[i])
            assert row["p"] == pytest.approx(2 * t.sf(abs(coefficients[i]) / error[i]))
            rest = np.delete(x, i, axis=1)
            unexplained = x[:, i] - rest @ np.linalg.lstsq(rest, x[:, i])[0]
            inflation = ((x[:, i] - x[:, i].mean()) ** 2).sum() / (unexplained**2).sum()
            assert one(found, test=test, group=name, statistic="VIF")["value"] == pytest.approx(inflation)
    spectrum = np.linalg.svd(x, compute_uv=False)
    row = one(found, test="regression", statistic="condition number")
    assert row["value"] == pytest.approx(spectrum[0] / spectrum[-1]) and row["n"] == 60


def test_what_the_regression_leaves_out_is_counted():
    table = planted(1, n=90)
    table.loc[[0, 5], ["transition_depth", "transition_reason"]] = [np.nan, "never overtakes"]
    table.loc[[7], "log_target_count"] = np.nan
    table["several_tokens"] = (table.index == 40).astype(float)  # one prompt decides it
    table["log_position"] = 1.5  # does not vary
    others = make_table({"copying": np.array([7.0, 7.5])})
    found = order.regression(pd.concat([table, others], ignore_index=True), 0.95)
    told = found[found["group"] == "all prompts"].set_index(["test", "statistic"])["value"]
    assert told["regression", "left out: never overtakes"] == 2
    assert told["regression", "left out: a confounder is unknown"] == 1
    coefficients = found[(found["statistic"] == "coefficient") & (found["test"] == "regression")]
    coefficients = coefficients.set_index("group")
    assert (coefficients["n"] == 87).all()
    missing = coefficients.index[coefficients["value"].isna()]
    assert set(missing) == {"several_tokens", "log_position"}


def test_too_few_prompts_for_a_regression():
    found = order.regression(make_table({c: np.array([8.0, 8.5]) for c in ORDER}), 0.95)
    coefficients = found[found["statistic"] == "coefficient"]
    full = coefficients[coefficients["test"] == "regression"]
    assert full["value"].isna().all() and (full["n"] == 6).all()
    assert coefficients[coefficients["test"] == "regression, category alone"]["value"].notna().all()
    with pytest.raises(ValueError, match="copying"):
        order.regression(planted(0), 0.95, reference="copying")


def test_tables_are_tidy():
    table = planted(0, n=30)
    pairs = pd.DataFrame({"near": [], "far": []}, dtype=object)
    for found in (
        order.effect_sizes(table, HOW),
        order.trend(table, HOW),
        order.matched_pairs(table, pairs, HOW),
        order.control_run(table, table, "prefix", HOW),
        order.regression(table, 0.9),
    ):
        assert found.columns.tolist() == COLUMNS and len(found)
        assert not found.duplicated(["test", "noise", "group", "statistic"]).any()
        assert found["n"].dtype.kind == "i"
