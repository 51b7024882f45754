"""Twins compared, against planted differences and plain loops."""

from math import isnan

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oracles import intervals
from strata.findings import twins
from strata.findings.estimates import Estimate
from strata.stats.draws import times_drawn
from strata.stats.seeding import generator

STATISTICS = {"resamples": 200, "interval": 0.95, "seed": 0}
N = 20
"""Prompts of each category; two in a row of one fact."""


def a_lens(sooner: np.ndarray, names: list[str] | None = None) -> xr.Dataset:
    """A lens over prompts of three tokens, by prompt so many depths ahead, of four blocks.

    KL falls by one a depth; a copied word is among the ten from depth 3 on; the input's rank is 10^depth - 1;
    the true next token costs as many bits as the prompt is ahead. Half-depths hold what must not count.
    """
    depths = np.arange(0, 4.5, 0.5)
    names = names or [f"p{i}" for i in range(len(sooner))]
    ahead = np.repeat(sooner, 3)[None]
    whole = (depths % 1 == 0)[:, None]
    at = depths[:, None] + ahead
    target = np.tile([7, 7, 7], len(sooner))
    target[0] = -1
    values = {
        "kl_final": np.where(whole, np.maximum(4 - at, 0), 99),
        "rank_of_input": np.where(whole, 10.0**at - 1, 0),
        "rank_of_target": np.where(whole, np.where(at >= 3, 9, 10), 0),
        "logprob_target": np.where(whole, -np.log(2) * ahead, np.nan),
    }
    category = ["copying" if i < N else "semantic" for i in range(len(sooner))]
    return xr.Dataset(
        {name: (("depth", "token"), value) for name, value in values.items()},
        {
            "depth": depths,
            "prompt": ("token", np.repeat(names, 3)),
            "fact": ("token", np.repeat([f"f{i // 2}" for i in range(len(sooner))], 3)),
            "category": ("token", np.repeat(category, 3)),
            "target_id": ("token", target),
        },
    )


def ends(differences: list[float], facts: list[str]) -> tuple[float, float]:
    """Ends of the mean, by loops over the same resamples of facts."""
    both = list(zip(differences, facts, strict=True))
    groups = [[d for d, f in both if f == fact] for fact in sorted(set(facts))]
    drawn = times_drawn(generator(0, "findings"), len(groups), STATISTICS["resamples"])
    draws = [[g for g, n in zip(groups, times, strict=True) for _ in range(n)] for times in drawn]
    return intervals.studentised(groups, draws, STATISTICS["interval"])


AHEAD = np.random.default_rng(0).choice([0.0, 1.0, 2.0], 2 * N)
FACTS = [f"f{i // 2}" for i in range(2 * N)]
PLAIN = a_lens(np.zeros(2 * N))


@pytest.mark.parametrize(
    ("statistic", "by_prompt"),
    [
        # KL is max(4 - d - ahead, 0) at d = 1, 2, 3.
        (twins.kl_on_the_way, lambda a: np.mean([max(4 - d - a, 0) - (4 - d) for d in (1, 2, 3)])),
        (twins.input_rank, lambda a: a),
        (twins.last_guess, lambda a: a),
    ],
)
def test_differences_are_of_each_prompt_and_drawn_by_fact(statistic, by_prompt):
    found = statistic(a_lens(AHEAD), PLAIN, STATISTICS)
    differences = [float(by_prompt(a)) for a in AHEAD]
    assert (found.value, found.n) == (pytest.approx(np.mean(differences)), 2 * N)
    assert (found.low, found.high) == pytest.approx(ends(differences, FACTS))
    assert found.low < found.value < found.high


def test_a_copied_word_is_sooner_by_shares_of_depth():
    """Semantic prompts do not count, nor does a word that one of the twins never says."""
    ahead = AHEAD.copy()
    ahead[0] = -3
    found = twins.copied_depth(a_lens(ahead), PLAIN, STATISTICS)
    differences = [-a / 4 for a in AHEAD[1:N]]
    assert (found.value, found.n) == (pytest.approx(np.mean(differences)), N - 1)
    low, high = found.low, found.high
    assert isnan(low) and isnan(high)  # ten facts
    facts = [f"p{i}" for i in range(2 * N)]
    apart = twins.copied_depth(*(each.assign_coords(fact=("token", np.repeat(facts, 3))) for each in
                                 (a_lens(ahead), PLAIN)), STATISTICS)  # fmt: skip
    assert (apart.low, apart.high) == pytest.approx(ends(differences, facts[1:N]))


def test_prompts_that_one_of_the_twins_does_not_complete_are_left_out():
    names = [f"p{i}" for i in range(2 * N)]
    other = ["other" if i < N else name for i, name in enumerate(names)]
    found = twins.last_guess(a_lens(AHEAD, other), PLAIN, STATISTICS)
    assert (found.value, found.n) == (pytest.approx(AHEAD[N:].mean()), N)
    nothing = twins.last_guess(a_lens(AHEAD, ["other"] * 2 * N), PLAIN, STATISTICS)
    assert "no prompt" in nothing.missing


def averages(depths: list[float]) -> xr.Dataset:
    """Transitions of prompts of a model of ten blocks, a fact each."""
    names = [f"p{i}" for i in range(len(depths))]
    return xr.Dataset(
        {"transition_depth": (("prompt", "noise"), np.array(depths)[:, None])},
        {
            "noise": ["3x"],
            "depth": np.arange(10),
            "prompt": names,
            "prompt_category": ("prompt", ["x"] * len(depths)),
            "prompt_fact": ("prompt", names),
        },
    )


def test_transitions_are_compared_where_both_have_one():
    sooner = list(np.linspace(1, 3, 21))
    found = twins.handed_over(
        averages([np.nan, *(8 - s for s in sooner)]), averages([2.0, *[8.0] * 20, np.nan]), "3x", STATISTICS
    )
    differences = [-s / 10 for s in sooner[:-1]]
    assert (found.value, found.n) == (pytest.approx(np.mean(differences)), 20)
    facts = [f"p{i + 1}" for i in range(20)]
    assert (found.low, found.high) == pytest.approx(ends(differences, facts))
    assert "0.5" in twins.handed_over(averages([1.0]), averages([1.0]), "0.5", STATISTICS).missing


def probes(accuracy: list[float], half: float) -> xr.Dataset:
    dims = ("target", "depth")
    values = np.array([accuracy, [9.0] * len(accuracy)])
    return xr.Dataset(
        {
            "accuracy": (dims, values),
            "accuracy_low": (dims, values - half),
            "accuracy_high": (dims, values + 2 * half),
            "n_documents": ("target", [52, 9]),
        },
        {"target": ["input", "next"], "depth": np.arange(len(accuracy)) * 1.0},
    )


def test_probes_are_compared_on_the_way():
    found = twins.input_probed(probes([1, 0.9, 0.5, 0.4, 0.1], 0.03), probes([1, 1, 0.8, 0.9, 1], 0.02))
    assert (found.value, found.n) == (pytest.approx(0.6 - 0.9), 52)
    assert found.low == pytest.approx(-0.3 - np.hypot(0.03, 0.04))
    assert found.high == pytest.approx(-0.3 + np.hypot(0.06, 0.02))


def test_the_interval_of_a_difference_covers_what_it_says():
    """Independent means: the ends are those of the normal with both variances."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        one, other = rng.normal(1, 0.3), rng.normal(0, 0.4)
        found = twins.independent_difference(
            Estimate(one, one - 1.96 * 0.3, one + 1.96 * 0.3, 30),
            Estimate(other, other - 1.96 * 0.4, other + 1.96 * 0.4, 40),
        )
        covered += found.low < 1 < found.high
        assert found.high - found.low == pytest.approx(2 * 1.96 * 0.5)
    assert 0.935 < covered / 2000 < 0.965


def test_without_both_intervals_a_difference_has_none():
    few = twins.independent_difference(Estimate(1, np.nan, np.nan, 5), Estimate(0.5, 0, 1, 50))
    assert few.value == 0.5 and isnan(few.low) and isnan(few.high) and few.n == 5


def test_copied_words_by_depth_are_those_of_last_tokens():
    table = twins.copied_by_depth(a_lens(np.zeros(N + 1)))
    assert table.columns.tolist() == [0, 1, 2, 3, 4] and len(table) == N
    assert table.to_numpy().tolist() == [[False, False, False, True, True]] * N
    assert isinstance(table.index, pd.MultiIndex) and table.index.names == ["category", "fact", "prompt"]
