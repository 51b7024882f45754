"""Pairs of prompts and of runs, with planted differences."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from oracles.transitions import HOW, make_table, normals, one
from strata.trace.pairs import control_run, matched_pairs, pair_prompts


def make_prompts(pair, n_tokens=(5, 9, 5, 12)):
    ids = ["a", "a-far", "b", "c"]
    return pd.DataFrame({"id": ids, "n_tokens": n_tokens, "subject_position": 1, "pair": pair})


def test_prompts_are_paired_as_they_say():
    assert pair_prompts(make_prompts(["", "a", "", ""])).to_dict("records") == [{"near": "a", "far": "a-far"}]
    nearer = make_prompts(["", "c", "", ""])
    assert pair_prompts(nearer).to_dict("records") == [{"near": "a-far", "far": "c"}]
    mutual = make_prompts(["a-far", "a", "c", "b"])
    assert pair_prompts(mutual).to_numpy().tolist() == [["a", "a-far"], ["b", "c"]]


def test_a_name_pairs_nothing_and_neither_do_equal_distances():
    for prompts in (make_prompts([""] * 4), make_prompts(["", "a", "", ""], n_tokens=[5] * 4)):
        pairs = pair_prompts(prompts)
        assert pairs.empty and pairs.columns.tolist() == ["near", "far"]


def test_paired_difference_and_its_sign_flips():
    near = np.tile([8.0, 8.5, 7.9, 8.2, 8.0, 8.1], 4)
    far = near + np.tile([0.5, 0.2, 0.3, 0.1, np.nan, 0.4], 4)
    table = make_table({"semantic": near})
    table = pd.concat([table, make_table({"semantic": far}).assign(prompt=lambda t: t["prompt"] + "-far")])
    pairs = pd.DataFrame({"near": [f"semantic-{i}" for i in range(25)]})
    pairs["far"] = pairs["near"] + "-far"  # the last was not traced
    found = matched_pairs(table, pairs, HOW)
    row = one(found, group="far less near, all", statistic="mean difference")
    assert row["value"] == pytest.approx(0.3) and row["n"] == 20
    assert row["p"] == pytest.approx(2 / 200)  # all of one sign, two-sided
    assert 0.2 < row["low"] < 0.3 < row["high"] < 0.4
    lost = one(found, group="far less near, all", statistic="without a transition")
    assert lost[["value", "n", "unit"]].tolist() == [5, 25, "pairs"]
    of_category = one(found, group="far less near, semantic", statistic="without a transition")
    assert of_category[["value", "n"]].tolist() == [4, 24]


def test_control_run_is_paired_by_prompt():
    plain = make_table(normals(8, 8, 8) | {"copying": np.array([np.nan])}, ("0.5", "3x"))
    control = plain.assign(transition_depth=plain["transition_depth"] + (plain["category"] == "semantic"))
    found = control_run(plain, control.sample(frac=1, random_state=1), "prefix", HOW)
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
        found = control_run(plain, control, "prefix", HOW)
        p.append(one(found, group="prefix less plain, all", statistic="mean difference")["p"])
    assert stats.kstest(p, "uniform").pvalue > 0.01
