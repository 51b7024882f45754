import math

import numpy as np
import pandas as pd
import pytest

from oracles import attention as slow
from strata.attention.contrast import COLUMNS, contrast_heads
from strata.attention.final_token import final_token
from strata.stats.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(200, 0.9, 1)
L, H = 3, 2
KINDS = {"facts": ["recalled"], "rote": ["english", "digits", "nobody has heard of"]}
CATEGORIES = ["recalled"] * 20 + ["english"] * 10 + ["digits"] * 9 + ["other"] * 4
FEW = ["recalled"] * 8 + ["english"] * 6 + ["digits"] * 5


def attention_of(patterns, prompts):
    """As `strata.attention.final_token.analyse` names it."""
    found = final_token(slow.make_activations(prompts, patterns), prompts)
    return found.rename({name: f"{name}_prompt" for name in found.data_vars})


def make_case(categories):
    """Prompts of which the first two facts are asked in two wordings each; those of facts are longer."""
    lengths = [4 + i % 3 + 4 * (c == "recalled") for i, c in enumerate(categories)]
    prompts = slow.make_prompts(categories, lengths)
    fact_of = pd.Series(prompts["id"].values, prompts["id"].values)
    fact_of.iloc[[0, 1]], fact_of.iloc[[2, 3]] = "first", "second"
    patterns = slow.random_patterns(prompts, L, H)
    return prompts.assign(fact=fact_of.to_numpy()), patterns, fact_of


def log_odds(share, even):
    return math.log(share / (1 - share)) - math.log(even / (1 - even))


def units_of(case, chosen, site, layer, head):
    """Shares and log odds of each unit, in loops."""
    prompts, patterns, fact_of = case
    found = {}
    for row, pattern in zip(prompts.itertuples(), patterns, strict=True):
        if row.category in chosen:
            at, n = pattern[layer, head], pattern.shape[-1]
            here = range(row.subject_start, row.subject_position + 1)
            here = {"first": [0], "final": [n - 1], "subject": here}[site]
            share = sum(float(at[t]) for t in here)
            found.setdefault(fact_of[row.id], []).append((share, len(here) / n))
    means = [np.mean(values, axis=0) for values in found.values()]
    return [share for share, _ in means], [log_odds(share, even) for share, even in means]


def test_every_row_equals_the_loop():
    case = prompts, patterns, fact_of = make_case(CATEGORIES)
    table = contrast_heads(attention_of(patterns, prompts), **KINDS, bootstrap=BOOTSTRAP)
    assert table.columns.tolist() == COLUMNS and len(table) == 3 * L * H
    assert set(table["n_facts"]) == {18} and set(table["n_rote"]) == {19}
    for row in table.itertuples():
        where = row.site, row.layer, row.head
        facts, fact_odds = units_of(case, KINDS["facts"], *where)
        rote, rote_odds = units_of(case, KINDS["rote"], *where)
        assert row.mean_facts == pytest.approx(np.mean(facts), abs=1e-6)
        assert row.mean_rote == pytest.approx(np.mean(rote), abs=1e-6)
        assert row.difference == pytest.approx(np.mean(facts) - np.mean(rote), abs=1e-6)
        assert row.difference_low < row.difference < row.difference_high
        larger = [(a > b) + 0.5 * (a == b) for a in fact_odds for b in rote_odds]
        assert row.concordance == pytest.approx(np.mean(larger))
    for _, at_site in table.groupby("site"):
        assert at_site["difference"].is_monotonic_decreasing
    assert table["site"].unique().tolist() == ["subject", "first", "final"]


def test_p_is_that_of_all_orders_and_corrected_over_all_heads():
    """With few units and no ties the rank test is exact: of all ways to deal out the ranks."""
    prompts, patterns, _ = make_case(FEW)
    table = contrast_heads(attention_of(patterns, prompts), **KINDS, bootstrap=BOOTSTRAP)
    n, m = 6, 11
    ways = np.zeros(n * m + 1)  # by how many pairs the smaller group wins: the q-binomial's coefficients
    ways[0] = 1
    for i in range(1, n + 1):
        for u in range(m + i, n * m + 1)[::-1]:
            ways[u] -= ways[u - m - i]
        for u in range(i, n * m + 1):
            ways[u] += ways[u - i]
    assert ways.sum() == math.comb(n + m, n)
    for row in table.itertuples():
        won = round(row.concordance * n * m)
        tail = ways[max(won, n * m - won) :].sum() / ways.sum()
        assert row.p == pytest.approx(min(1, 2 * tail), rel=1e-6)
    order = table["p"].sort_values()
    steps = order * len(table) / np.arange(1, len(table) + 1)
    corrected = np.minimum.accumulate(steps[::-1])[::-1].clip(upper=1)
    np.testing.assert_allclose(table["p_adjusted"], corrected.loc[table.index])


def planted(prompts, noise=0.05):
    """Head 1 of layer 2 looks at the subject of facts alone; all else is spread evenly but for noise."""
    rng = np.random.default_rng(0)
    patterns = []
    for row in prompts.itertuples():
        scores = noise * rng.normal(size=(L, H, row.n_tokens))
        if row.category == "recalled":
            scores[2, 1, row.subject_start : row.subject_position + 1] += 4
        patterns.append(np.exp(scores) / np.exp(scores).sum(-1, keepdims=True))
    return patterns


def test_the_head_that_reads_the_subject_of_facts_alone_holds():
    prompts = slow.make_prompts(["recalled"] * 30 + ["english"] * 40, [12] * 30 + [5] * 40)
    table = contrast_heads(attention_of(planted(prompts), prompts), **KINDS, bootstrap=BOOTSTRAP)
    top = table.iloc[0]
    assert (top["site"], top["layer"], top["head"]) == ("subject", 2, 1)
    assert top["holds"] and top["difference"] > 0.6 and top["concordance"] == 1
    # All others have smaller shares in the long prompts, as is seen of their first tokens, and mean nothing.
    others = table[(table["layer"] != 2) | (table["head"] != 1)]
    assert (others["difference"] < -0.05).all() and not others["holds"].any()


def test_prompts_of_one_fact_are_one_observation():
    prompts = slow.make_prompts(["recalled"] * 30 + ["english"] * 40, [6] * 70)
    same = ["f0"] * 15 + ["f1"] * 15 + [f"r{i // 20}" for i in range(40)]
    attention = attention_of(planted(prompts), prompts.assign(fact=same))
    table = contrast_heads(attention, **KINDS, bootstrap=BOOTSTRAP)
    assert set(table["n_facts"]) == set(table["n_rote"]) == {2} and not table["holds"].any()


def test_a_head_that_sees_nothing_of_a_site_is_no_difference():
    prompts = slow.make_prompts(["recalled"] * 9 + ["english"] * 10, [6] * 19)
    patterns = slow.random_patterns(prompts, L, H)
    for pattern in patterns:
        pattern[0, 0] = np.eye(6)[5]
    table = contrast_heads(attention_of(patterns, prompts), **KINDS, bootstrap=BOOTSTRAP)
    blind = table[(table["layer"] == 0) & (table["head"] == 0)]
    assert (blind["p"] == 1).all() and (blind["concordance"] == 0.5).all() and not blind["holds"].any()
    assert table["p_adjusted"].notna().all()


@pytest.mark.parametrize("facts,rote", [(["recalled"], []), (["none"], ["english"]), ([], [])])
def test_without_one_kind_there_is_nothing_to_compare(facts, rote):
    prompts, patterns, _ = make_case(FEW)
    attention = attention_of(patterns, prompts)
    table = contrast_heads(attention, facts, rote, BOOTSTRAP)
    assert table.empty and table.columns.tolist() == COLUMNS
