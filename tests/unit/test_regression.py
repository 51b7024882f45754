"""Regression against its formulas and on planted coefficients."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from oracles.transitions import ORDER, in_pairs, make_table, one, planted
from strata.trace.confounders import CONTINUOUS, INDICATORS
from strata.trace.regression import regression


def test_regression_recovers_planted_coefficients():
    table = planted(0, n=3000, noise=0.05)
    found = regression(table, 0.95, ORDER).query("test == 'regression' and statistic == 'coefficient'")
    value = found.set_index("group")["value"]
    expected = {"non_english": -0.8, "plain_english": -0.4, "several_tokens": -0.5}
    expected |= dict.fromkeys(("logit_clean", "log_target_count", "log_subject_count", "log_position"), 0)
    expected["distance"] = 0.25 * table["distance"].std()
    assert set(value.index) == set(expected)
    for name, coefficient in expected.items():
        assert value[name] == pytest.approx(coefficient, abs=0.02), name
    alone = regression(table, 0.95, ORDER).query("test == 'regression, category alone'")
    # Left alone, category takes the distance's part: 2 tokens nearer, 0.5 depths earlier.
    assert one(alone, group="non_english", statistic="coefficient")["value"] == pytest.approx(-1.3, abs=0.05)


@pytest.mark.long
def test_regression_intervals_cover_as_often_as_they_say():
    hits, trials = 0, 150
    for seed in range(trials):
        found = regression(planted(seed, n=90), 0.9, ORDER)
        row = one(found, test="regression", group="plain_english", statistic="coefficient")
        hits += row["low"] <= -0.4 <= row["high"]
    assert 0.8 < hits / trials < 0.99  # 90 %, four standard errors


@pytest.mark.parametrize("kin", [lambda table: table, in_pairs], ids=["a prompt a fact", "two a fact"])
def test_regression_equals_its_formulas(kin):
    table = kin(planted(3, n=60))
    found = regression(table, 0.9, ORDER)
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
        coefficients = np.linalg.lstsq(x, y)[0]
        facts = table["fact"].unique()
        kept = [(table["fact"] != fact).to_numpy() for fact in facts]
        without = np.array([np.linalg.lstsq(x[rows], y[rows])[0] for rows in kept])
        error = np.sqrt((len(facts) - 1) / len(facts) * ((without - coefficients) ** 2).sum(0))
        t = stats.t(len(facts) - 1)
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


def test_where_one_category_alone_has_transitions_there_is_nothing_to_compare():
    table = planted(0, n=90)
    table.loc[table["category"] != "semantic", "transition_depth"] = np.nan
    found = regression(table, 0.95, ORDER)
    alone = found.query("test == 'regression, category alone' and statistic == 'coefficient'")
    assert set(alone["group"]) == {"non_english", "plain_english"} and alone["value"].isna().all()
    assert one(found, test="regression", group="distance", statistic="coefficient")["value"] < np.inf


def test_prompts_of_one_fact_do_not_narrow_intervals():
    table = planted(3, n=90)
    twice = pd.concat([table, table.assign(prompt=table["prompt"] + "-far")], ignore_index=True)
    rows = [
        one(regression(t, 0.9, ORDER), test="regression", group="non_english", statistic="coefficient")
        for t in (table, twice)
    ]
    narrow, wide = (row["high"] - row["low"] for row in rows)
    assert wide == pytest.approx(narrow, rel=0.02)


def test_ranks_keep_prompts_that_never_cross():
    table = planted(4, n=90)
    never = table.index[table["category"] == "semantic"][:10]
    table.loc[never, ["transition_depth", "place", "transition_reason"]] = [np.nan, np.inf, "never overtakes"]
    found = regression(table, 0.9, ORDER)
    rows = found[(found["group"] == "non_english") & (found["statistic"] == "coefficient")].set_index("test")
    assert rows["n"].to_dict() == {
        "regression": 80,
        "regression, category alone": 80,
        "regression of ranks": 90,
    }


def test_what_the_regression_leaves_out_is_counted():
    table = planted(1, n=90)
    table.loc[[0, 5], ["transition_depth", "place", "transition_reason"]] = [
        np.nan,
        np.inf,
        "never overtakes",
    ]
    table.loc[[7], "log_target_count"] = np.nan
    table["several_tokens"] = (table.index == 40).astype(float)  # one prompt decides it
    table["log_position"] = 1.5  # does not vary
    others = make_table({"copying": np.array([7.0, 7.5])})
    found = regression(pd.concat([table, others], ignore_index=True), 0.95, ORDER)
    told = found[found["group"] == "all prompts"].set_index(["test", "statistic"])["value"]
    assert told["regression", "left out: never overtakes"] == 2
    assert told["regression", "left out: a confounder is unknown"] == 1
    coefficients = found[(found["statistic"] == "coefficient") & (found["test"] == "regression")]
    coefficients = coefficients.set_index("group")
    assert (coefficients["n"] == 87).all()
    missing = coefficients.index[coefficients["value"].isna()]
    assert set(missing) == {"several_tokens", "log_position"}


def test_too_few_prompts_for_a_regression():
    found = regression(make_table({c: np.array([8.0, 8.5]) for c in ORDER}), 0.95, ORDER)
    coefficients = found[found["statistic"] == "coefficient"]
    full = coefficients[coefficients["test"] == "regression"]
    assert full["value"].isna().all() and (full["n"] == 6).all()
    assert coefficients[coefficients["test"] == "regression, category alone"]["value"].notna().all()


def test_the_last_category_that_is_there_is_the_reference():
    table = planted(2, n=90)
    found = regression(table, 0.95, ["plain_english", "non_english", "x"])
    reference = found[found["statistic"] == "reference"]
    assert reference[["group", "value", "n"]].to_numpy().tolist() == [["non_english", 0, 30]] * len(reference)
    coefficients = found[(found["statistic"] == "coefficient") & (found["test"] == "regression")]
    assert coefficients["group"].tolist() == ["plain_english", *CONTINUOUS, *INDICATORS]
    assert (coefficients["n"] == 60).all()
