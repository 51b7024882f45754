"""Statistics of findings against planted data, and the rule that judges them."""

from dataclasses import replace
from math import isnan, nan

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from oracles import intervals
from strata.findings import embedding, lens, traces
from strata.findings.estimates import FAILS, HOLDS, NOT_ASKED, UNDECIDED, UNDEFINED, Estimate, read, verdict
from strata.stats.draws import times_drawn
from strata.stats.seeding import generator

STATISTICS = {"resamples": 200, "interval": 0.95, "seed": 0}


# The rule -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "above", "below", "apart"),
    [
        (0.1, 0.3, HOLDS, FAILS, HOLDS),
        (-0.3, -0.1, FAILS, HOLDS, HOLDS),
        (-0.1, 0.3, UNDECIDED, UNDECIDED, UNDECIDED),
        (0.0, 0.3, UNDECIDED, UNDECIDED, UNDECIDED),
        (nan, nan, UNDECIDED, UNDECIDED, UNDECIDED),
    ],
)
def test_the_whole_interval_decides(low, high, above, below, apart):
    found = Estimate(0.2, low, high, 9)
    assert verdict(found, {"above": 0}) == above
    assert verdict(found, {"below": 0}) == below
    assert verdict(found, {"apart_from": 0}) == apart


def test_chance_is_the_estimates_own():
    found = Estimate(0.4, 0.3, 0.5, 9, chance=0.2)
    assert verdict(found, {"above": "chance"}) == HOLDS
    assert verdict(replace(found, chance=0.35), {"above": "chance"}) == UNDECIDED
    assert verdict(replace(found, chance=0.6), {"above": "chance"}) == FAILS


def test_what_is_missing_cannot_be_asked_and_what_was_sought_in_vain_fails():
    assert verdict(Estimate(missing="no position embedding"), {"below": 0}) == NOT_ASKED
    assert verdict(Estimate(refuted="no clump"), {"above": 0.5}) == FAILS


def test_exact_shares_and_signs():
    assert verdict(Estimate.of_weights(0.96, 5), {"above": 0.95}) == HOLDS
    assert Estimate(6, 4, 10, 3, p=0.01).of(2) == Estimate(3, 2, 5, 3, p=0.01)
    assert Estimate(6, 4, 10, 3, p=0.01).reversed() == Estimate(-6, -10, -4, 3, p=0.01)


def test_reading_says_what_is_not_there():
    data = xr.Dataset(
        {
            "x": ("layer", [1.0, nan]),
            "x_low": ("layer", [0.0, nan]),
            "x_high": ("layer", [2.0, nan]),
            "x_n": 7,
        },
        {"layer": [0, 1]},
    )
    assert read(data, "x", layer=0) == Estimate(1, 0, 2, 7)
    assert read(data, "x", layer=1).missing == UNDEFINED
    assert read(data, "x", layer=5).missing == "no layer 5 in the results"
    assert read(data, "x", head=1).missing == "no head 1 in the results"
    assert read(data, "y", layer=0).missing == UNDEFINED


# Traces -------------------------------------------------------------------------------------


def order(*rows) -> pd.DataFrame:
    names = ["test", "noise", "group", "statistic", "value", "low", "high", "p", "n"]
    return pd.DataFrame(rows, columns=names)


AVERAGES = xr.Dataset(
    {
        "transition_mean": (("category", "noise"), [[4.0], [nan]]),
        "transition_low": (("category", "noise"), [[3.0], [nan]]),
        "transition_high": (("category", "noise"), [[6.0], [nan]]),
        "n_transition": (("category", "noise"), [[5], [0]]),
    },
    {"category": ["plain_english", "repetition"], "noise": ["3x"], "depth": np.arange(10)},
)


def test_transitions():
    assert traces.transition(AVERAGES, "3x", "plain_english") == Estimate(4, 3, 6, 5)
    assert traces.transition(AVERAGES, "3x", "repetition").missing == "no prompt crosses"
    assert "semantic" in traces.transition(AVERAGES, "3x", "semantic").missing
    assert "0.5" in traces.transition(AVERAGES, "0.5", "plain_english").missing


@pytest.mark.parametrize("turned", [False, True])
def test_difference_of_transitions_in_shares_of_depth(turned):
    """Whichever way round the table has the pair."""
    group, sign = ("semantic to plain_english", -1) if turned else ("plain_english to semantic", 1)
    ends = sorted([sign * 1.0, sign * 3.0])
    table = order(
        ("pair", "3x", group, "Cliff's delta", 0.9, 0.8, 1.0, 0.5, 30),
        ("pair", "3x", group, "difference of means", sign * 2.0, *ends, 0.01, 30),
        ("pair", "0.5", group, "difference of means", 7.0, 7.0, 7.0, 0.5, 30),
    )
    found = traces.later_than(table, AVERAGES, "3x", "plain_english", "semantic")
    assert found == Estimate(0.2, 0.1, 0.3, 30, 0.01)
    assert traces.later_than(table, AVERAGES, "1", "plain_english", "semantic").missing


def test_concordance_and_its_control():
    table = order(
        ("order", "3x", "a ≤ b", "concordance", 0.7, 0.6, 0.8, 0.001, 20),
        ("order, after a prefix", "3x", "a ≤ b", "concordance", 0.4, 0.3, 0.5, 0.9, 18),
    )
    assert traces.concordance(table, "3x", ["a", "b"]) == Estimate(0.7, 0.6, 0.8, 20, 0.001)
    after = traces.concordance(table, "3x", ["a", "b"], test="order, after a prefix")
    assert after == Estimate(0.4, 0.3, 0.5, 18, 0.9)
    assert traces.concordance(table, "3x", ["b", "a"]).missing
    assert traces.concordance(order(), "3x", ["a", "b"]).missing


def test_coefficients_against_the_reference_asked_for():
    table = order(
        ("regression", "3x", "semantic", "reference", 0, nan, nan, nan, 9),
        ("regression", "3x", "plain_english", "coefficient", -2.0, -3.0, -1.0, 0.02, 40),
        ("regression of ranks", "3x", "plain_english", "coefficient", 9.0, 9.0, 9.0, 0.5, 40),
    )
    found = traces.with_confounders(table, AVERAGES, "3x", "plain_english", "semantic")
    assert found == Estimate(-0.2, -0.3, -0.1, 40, 0.02)
    assert "invented" in traces.with_confounders(table, AVERAGES, "3x", "plain_english", "invented").missing


def test_attention():
    where = ("heads", "category")
    attention = xr.Dataset(
        {
            **{
                f"onset{end}": (where, [[value]])
                for end, value in {"": 3.0, "_low": 2.0, "_high": 4.0}.items()
            },
            "onset_n": ("category", [8]),
            **{
                f"rho{end}": ((*where, "noise"), [[[value]]])
                for end, value in {"": 0.5, "_low": 0.25, "_high": 0.75, "_n": 8, "_p": 0.03}.items()
            },
        },
        {"heads": ["mean"], "category": ["all"], "noise": ["3x"], "layer": np.arange(5)},
    )
    assert traces.onset(attention) == Estimate(0.75, 0.5, 1.0, 8)
    assert traces.with_attention_peak(attention, "3x") == Estimate(0.5, 0.25, 0.75, 8, 0.03)
    assert traces.with_attention_peak(attention, "0.5").missing


def test_severed_share():
    dims = ("category", "noise", "site", "depth")
    severed = xr.Dataset(
        {
            **{
                f"share{end}": (dims, [[[[value, nan]]]])
                for end, value in {"": 0.3, "_low": 0.2, "_high": 0.4}.items()
            },
            "n_prompts": (("category", "noise"), [[6]]),
        },
        {"category": ["semantic"], "noise": ["3x"], "site": ["subject"], "depth": [0, 1]},
    )
    assert traces.severed_share(severed, "3x", "semantic", 0) == Estimate(0.3, 0.2, 0.4, 6)
    assert traces.severed_share(severed, "3x", "semantic", 1).missing
    assert traces.severed_share(severed, "0.5", "semantic", 0).missing


# The lens -----------------------------------------------------------------------------------


def planted_lens() -> xr.Dataset:
    """Two prompts, eight times over; three depths with halves; a beginning token that must not count."""
    kl = np.array([[9, 4, 4, 8], [7, 7, 7, 7], [9, 2, 2, 9], [7, 7, 7, 7], [0, 1, 1, 0]], float)
    ranks = np.array([[0, 0, 0, 0], [9, 9, 9, 9], [9, 0, 5, 0], [9, 9, 9, 9], [9, 9, 9, 9]])
    prompts = [f"{i}{prompt}" for i in range(8) for prompt in "aaab"]
    return xr.Dataset(
        {
            "kl_final": (("depth", "token"), np.tile(kl, 8)),
            "rank_of_input": (("depth", "token"), np.tile(ranks, 8)),
        },
        {
            "depth": [0, 0.5, 1, 1.5, 2],
            "prompt": ("token", prompts),
            "fact": ("token", prompts),
            "category": ("token", ["x"] * len(prompts)),
            "beginning": ("token", [True, False, False, False] * 8),
        },
    )


def ends_of_mean(values: list[float]) -> tuple[float, float]:
    """Ends of the mean of values, of a fact each, in loops over the same resamples."""
    drawn = times_drawn(generator(STATISTICS["seed"], "findings"), len(values), STATISTICS["resamples"])
    draws = [[[v] for v, n in zip(values, times, strict=True) for _ in range(n)] for times in drawn]
    return intervals.studentised([[v] for v in values], draws, STATISTICS["interval"])


def test_the_lens_is_read_at_whole_depths_of_a_texts_own_tokens():
    found = lens.kl_by_depth(planted_lens())
    assert found.columns.tolist() == [0, 1, 2]
    assert found.to_numpy().tolist() == 8 * [[4, 2, 1], [8, 9, 0]]
    falling = lens.falling(planted_lens(), STATISTICS)
    assert (falling.value, falling.n) == (0.75, 16)
    assert (falling.low, falling.high) == pytest.approx(ends_of_mean(8 * [1.0, 0.5]))
    assert 0.5 < falling.low < 0.75 < falling.high < 1
    kept = lens.input_kept(planted_lens(), 1, STATISTICS)
    assert (kept.value, kept.n) == (0.75, 16)
    assert (kept.low, kept.high) == pytest.approx(ends_of_mean(8 * [0.5, 1.0]))
    two = lens.falling(planted_lens().isel(token=slice(4)), STATISTICS)
    assert (two.value, two.n) == (0.75, 2) and isnan(two.low) and isnan(two.high)


def with_ends(name: str, dims, at: dict, n=6) -> xr.Dataset:
    """A variable that is 0.4 in 0.2 to 0.6 at one place, and 9 elsewhere."""
    coordinates = dict(dims)
    shape = [len(labels) for labels in coordinates.values()]
    result = xr.Dataset(coords=coordinates)
    for end, value in {"": 0.4, "_low": 0.2, "_high": 0.6}.items():
        values = xr.DataArray(np.full(shape, 9.0), coordinates, list(coordinates))
        values.loc[at] = value
        result[name + end] = values
    return result if n is None else result.assign({f"{name}_n": n})


DECODERS = ["tuned", "logit"]


@pytest.mark.parametrize(
    ("ask", "name", "dims", "at", "whole"),
    [
        (
            lens.first_block_share,
            "kl_final_share",
            {"decoder": DECODERS, "category": ["all", "copying"], "layer": [0, 1]},
            {"decoder": "logit", "category": "all", "layer": 0},
            1,
        ),
        (lens.rarer_kept, "frequency_rho_overall", {"decoder": DECODERS}, {"decoder": "logit"}, 1),
        (
            lens.copied_depth,
            "target_depth",
            {"decoder": DECODERS, "category": ["all", "copying"]},
            {"decoder": "logit", "category": "copying"},
            2,
        ),
        (
            lambda questions: lens.repeated_depth(questions, 1),
            "repeat_depth",
            {"decoder": DECODERS, "repeat": [0, 1]},
            {"decoder": "logit", "repeat": 1},
            2,
        ),
    ],
)
def test_questions_are_read_in_their_place(ask, name, dims, at, whole):
    data = with_ends(name, dims, at).assign_coords(layer=[0, 1])
    assert ask(data) == Estimate(0.4, 0.2, 0.6, 6).of(whole)


def test_syntax():
    draws = np.linspace(0, 1, 101)
    probes = xr.Dataset(
        {
            "gain_centre": (("target", "label"), [[1.0, 3.0, 9.0], [9.0, 9.0, 2.0]]),
            "gain_centre_low": (("target", "label"), np.full((2, 3), 1.0)),
            "gain_centre_high": (("target", "label"), np.full((2, 3), 3.0)),
            "gain_centre_resampled": (
                ("target", "label", "sample"),
                np.stack([[0 * draws, draws, 9 + draws]] * 2),
            ),
            "n_documents": (("target", "label"), [[25, 25, 25], [7, 7, 7]]),
        },
        {"target": ["input", "next"], "label": ["tag", "relation", "token"], "depth": [0.0, 2.0, 4.0]},
    )
    found = lens.relation_after_tag(probes, 0.9)
    assert (found.value, found.n) == (0.5, 25)
    # Draws are evenly spread: the percentile is where it says, wider for 25 documents (Hesterberg 2015).
    tail = stats.norm.sf(np.sqrt(25 / 24) * stats.t.ppf(0.95, 24))
    assert np.allclose([found.low, found.high], [tail / 4, (1 - tail) / 4])
    few = lens.relation_after_tag(probes.assign(n_documents=probes["n_documents"] * 0 + 14), 0.9)
    assert few.value == 0.5 and np.isnan(few.low) and np.isnan(few.high)
    assert lens.next_token_depth(probes) == Estimate(0.5, 0.25, 0.75, 7)


# The embedding ------------------------------------------------------------------------------


def test_first_is_mean():
    data = xr.Dataset({"cosine_mean": ("component", [-0.98, 0.1])}, {"vocab": np.arange(7)})
    assert embedding.first_is_mean(data) == Estimate.of_weights(0.98, 7)


def test_leading_space_on_either_side_of_a_half():
    dims = {"token_set": ["all"], "basis": ["svd"], "component": [1, 2], "property": ["leading space"]}
    data = xr.Dataset(
        {
            f"auc{end}": (list(dims), np.array(values)[None, None, :, None])
            for end, values in {"": [0.2, 0.55], "_low": [0.1, 0.45], "_high": [0.3, 0.65]}.items()
        }
        | {
            "auc_random": (("token_set", "property"), [[0.15]]),
            "n_with": (("token_set", "property"), [[30]]),
            "n_without": (("token_set", "property"), [[12]]),
        },
        dims,
    )
    low = embedding.leading_space(data, 1)
    assert np.allclose([low.value, low.low, low.high, low.chance], [0.3, 0.2, 0.4, 0.15]) and low.n == 42
    near = embedding.leading_space(data, 2)
    assert np.allclose([near.value, near.low, near.high], [0.05, 0.0, 0.15])


def planted_frequency(outliers: int) -> xr.Dataset:
    features = ["log frequency", "norm", "channel 3"]
    dims = {
        "token_set": ["seen", "all"],
        "feature": features,
        "other": features,
        "given": ["nothing", "norm"],
    }
    data = with_ends("rho", dims, {"token_set": "seen", "feature": "channel 3", "other": "log frequency",
                                   "given": "nothing"}, n=None)  # fmt: skip
    for end, value in {"": -0.3, "_low": -0.5, "_high": -0.1}.items():
        data[f"rho{end}"].loc["seen", "norm", "log frequency", "nothing"] = value
    by_channel = np.array([[0.1, -0.2, 0.05, 0.99, -0.3], [9, 9, 9, 9, 9]])
    return data.assign(
        channel_rho=(("token_set", "channel"), by_channel), n_tokens=("token_set", [50, 90])
    ).assign_coords(channel=np.arange(5), role=("feature", ["", "", "outlier" if outliers else "control"]))


def test_frequency():
    data = planted_frequency(1)
    assert embedding.with_frequency(data, "norm") == Estimate(-0.3, -0.5, -0.1, 50)
    found = embedding.outlier_channel(data)
    assert (found.value, found.low, found.high, found.n) == (0.4, 0.2, 0.6, 50)
    assert np.isclose(found.chance, np.quantile([0.1, 0.2, 0.05, 0.3], 0.95))
    assert embedding.outlier_channel(planted_frequency(0)).missing


def test_own_match():
    data = with_ends("share", {"variant": ["final norm", "embedding"]}, {"variant": "embedding"}, n=40)
    assert embedding.own_match(data) == Estimate(0.4, 0.2, 0.6, 40)


def test_clumps():
    data = xr.Dataset(
        {"rarer_share": 0.9, "rarer_share_low": 0.8, "rarer_share_high": 1.0, "rarer_share_n": 4}
    )
    assert embedding.rarer_in_clump(data.assign_attrs(n_clumps=1)) == Estimate(0.9, 0.8, 1.0, 4)
    assert embedding.rarer_in_clump(data.assign_attrs(n_clumps=0)).refuted
    assert embedding.rarer_in_clump(xr.Dataset(attrs={"clump": "no outlying channel"})).missing


def test_positions():
    present = {"position_embedding": "present"}
    channels = with_ends("rho", {"measure": ["token_mean", "token_std"]}, {"measure": "token_std"}).merge(
        with_ends("ashmans_d", {"one": [0]}, {"one": 0}).isel(one=0, drop=True)
    )
    assert embedding.avoided(channels.assign_attrs(present)) == Estimate(0.4, 0.2, 0.6, 6)
    assert embedding.two_groups(channels.assign_attrs(present)) == Estimate(0.4, 0.2, 0.6, 6)
    gains = with_ends(
        "rho", {"norm": ["norm2_gain", "norm1_gain"], "layer": [0, 1]}, {"norm": "norm1_gain", "layer": 0}
    )
    assert embedding.turned_down(gains.assign_attrs(present)) == Estimate(0.4, 0.2, 0.6, 6)
    for ask in (embedding.avoided, embedding.two_groups, embedding.turned_down):
        absent = ask(xr.Dataset(attrs={"position_embedding": "absent: the model has no such matrix"}))
        assert absent.missing == "no position embedding" and isnan(absent.value)
