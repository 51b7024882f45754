import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from oracles import lens_questions as oracle
from oracles.lens_questions import join, make_prompts, make_run, make_text
from strata import io
from strata.lens.answers import HEADLINES, answers
from strata.lens.questions import ask
from strata.lens.questions_of_output import (
    first_block,
    first_depth,
    prediction_depth,
    repetition,
    settled_depth,
    target_depth,
)
from strata.stats.bootstrap import Bootstrap
from strata.stats.thresholds import LEAST_UNITS

BOOTSTRAP = Bootstrap(resamples=200, interval=0.9, seed=3)
OPTIONS = {"resamples": 100, "interval": 0.9, "seed": 3}


def of(lens):
    return {"logit": lens}


def whole_rows(*rows):
    """Values at depths 0, 1, ... for every token alike."""
    return np.array(rows, dtype=float)[:, None]


# Depths -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "holds,first,settled",
    [
        ([0, 0, 0, 1, 0, 1, 1], 3, 5),
        ([1, 1, 1, 1, 1, 1, 1], 0, 0),
        ([0, 0, 0, 0, 0, 0, 1], 6, 6),
        ([1, 0, 0, 0, 0, 0, 0], 0, math.nan),
        ([0, 0, 0, 0, 0, 0, 0], math.nan, math.nan),
    ],
)
def test_first_and_settled_depths(holds, first, settled):
    array = xr.DataArray(np.array(holds, bool)[:, None], dims=("depth", "token"), coords={"depth": range(7)})
    np.testing.assert_equal(first_depth(array).values, [first])
    np.testing.assert_equal(settled_depth(array).values, [settled])


# The first block ----------------------------------------------------------------------------


def test_first_block_of_a_planted_fall():
    lens = make_text(
        "p",
        "c",
        np.arange(3),
        n_layers=3,
        kl_final=whole_rows(8, 2, 1, 0),
        kl_input=whole_rows(0, 4, 6, 5),
    )
    found = first_block(of(lens), BOOTSTRAP).sel(decoder="logit", category="c")
    np.testing.assert_allclose(found["kl_final_share"], [6 / 8, 1 / 8, 1 / 8])
    np.testing.assert_allclose(found["kl_input_share"], [4 / 5, 2 / 5, -1 / 5])
    assert found["layer"].values.tolist() == [0, 1, 2]
    assert found["kl_final_share_n"] == 1 and found["kl_final_share_low"].isnull().all()


def test_first_block_is_a_ratio_of_means_over_prompts():
    long = make_text("a", "c", np.arange(9), n_layers=2, kl_final=whole_rows(10, 0, 0))
    short = make_text("b", "c", np.arange(1), n_layers=2, kl_final=whole_rows(2, 2, 0))
    found = first_block(of(join(long, short)), BOOTSTRAP).sel(decoder="logit", category="all")
    np.testing.assert_allclose(found["kl_final_share"], [10 / 12, 2 / 12])  # not (1 + 0) / 2, nor 90 / 92


def test_first_block_equals_the_loop():
    lenses, *_ = make_run()
    found = first_block(lenses, BOOTSTRAP)
    assert found["category"].values.tolist() == ["all", "semantic", "copying", "repetition", "passages"]
    for decoder, lens in lenses.items():
        for category in found["category"].values:
            for name in ("kl_final", "kl_input"):
                share = found[f"{name}_share"].sel(decoder=decoder, category=category)
                np.testing.assert_allclose(share, oracle.shares(lens, name, category))
    low, share, high = (found[f"kl_final_share{end}"] for end in ("_low", "", "_high"))
    assert low.isnull().all()  # too few prompts
    found = first_block(make_run(prompts_of_category=LEAST_UNITS)[0], BOOTSTRAP)
    low, share, high = (found[f"kl_final_share{end}"] for end in ("_low", "", "_high"))
    assert ((low <= share) & (share <= high) & (low < high)).all()


def test_blocks_that_change_nothing_have_no_share():
    found = first_block(of(make_text("p", "c", np.arange(3))), BOOTSTRAP)
    assert found["kl_final_share"].isnull().all() and found["kl_input_share"].isnull().all()


# Targets ------------------------------------------------------------------------------------


def arriving(name, category, ranks, target=7, length=3):
    """A prompt whose target has the given ranks at its last token; elsewhere it is on top."""
    values = np.zeros((len(ranks), length), int)
    values[:, -1] = ranks
    return make_text(
        name, category, np.arange(length), target, n_layers=len(ranks) - 1, rank_of_target=values
    )


def test_target_depth_of_a_target_that_comes_and_goes():
    comes_and_goes = [50, 40, 10, 9, 12, 9, 0]  # in the top 10 at 3, out at 4, in from 5 on
    parts = [
        arriving("a", "copying", comes_and_goes),
        arriving("b", "copying", [0, 0, 0, 0, 0, 0, 0]),
        arriving("c", "fact", [99, 99, 99, 99, 99, 9, 9]),
        arriving("lost", "fact", [99, 5, 99, 99, 99, 99, 10]),
        arriving("refused", "fact", [99, 1, 1, 1, 1, 1, 1]),
        arriving("text", "passages", [0, 0, 0, 0, 0, 0, 0], target=-1),
    ]
    lens = join(*parts)
    table = make_prompts(lens, accepted=["a", "b", "c", "lost", "text"])
    found = target_depth(of(lens), table, BOOTSTRAP).sel(decoder="logit")
    assert found["category"].values.tolist() == ["all", "copying", "fact", "passages"]
    np.testing.assert_allclose(found["target_depth"], [10 / 3, 2.5, 5, np.nan])
    np.testing.assert_allclose(found["target_first_depth"], [9 / 4, 1.5, 3, np.nan])
    assert found["target_depth_n"].values.tolist() == [3, 2, 1, 0]
    assert found["target_undefined"].values.tolist() == [1, 0, 1, 0]
    assert found["target_undefined_n"].values.tolist() == [4, 2, 2, 0]
    np.testing.assert_allclose(found["target_depth_change"], [np.nan, np.nan, 2.5, np.nan])
    assert found["target_depth_low"].isnull().all()  # too few prompts


def test_target_depths_equal_the_loop():
    lenses, table, _ = make_run()
    table.loc[::4, "accepted"] = False
    accepted = set(table.loc[table["accepted"], "id"])
    found = target_depth(lenses, table, BOOTSTRAP)
    for category in found["category"].values:
        at = found.sel(decoder="logit", category=category)
        depth, first = oracle.target_depths(lenses["logit"], accepted, category, top=10)
        assert at["target_undefined_n"] == len(depth)
        assert at["target_undefined"] == sum(map(math.isnan, depth))
        np.testing.assert_allclose(at["target_depth"], oracle.mean(depth))
        np.testing.assert_allclose(at["target_first_depth"], oracle.mean(first))


def test_without_copying_nothing_is_compared_with_it():
    lens = join(arriving("c", "mine", [99, 9, 9]), arriving("d", "yours", [99, 99, 9]))
    found = target_depth(of(lens), make_prompts(lens), BOOTSTRAP).sel(decoder="logit")
    assert found["target_depth_change"].isnull().all() and (found["target_depth_change_n"] == 0).all()
    np.testing.assert_allclose(found["target_depth"], [1.5, 1, 2])


# Repetition ---------------------------------------------------------------------------------


def test_repeat_numbers_count_pairs_said_before():
    # Pairs (1,2) and (2,1) in turn; where the cycle first begins again, (2,1) is new, though 1 is not.
    ids = np.array([1, 2, 1, 2, 1, 2])
    ranks = np.full((5, 6), 99)
    for token, depth in enumerate([4, 4, 3, 2, 1, 0]):
        ranks[depth:, token] = 0
    ranks[:, 0] = 99  # the first never arrives
    lens = make_text("p", "repetition", ids, target=1, rank_of_target=ranks)
    found = repetition(of(lens), BOOTSTRAP).sel(decoder="logit")
    assert found["repeat"].values.tolist() == [0, 1, 2]
    np.testing.assert_allclose(found["repeat_depth"], [4, (3 + 2) / 2, (1 + 0) / 2])
    np.testing.assert_allclose(found["repeat_share"], [1 / 2, 1, 1])
    assert found["repeat_change"] == pytest.approx(0.5 - 2.5)


def test_a_word_said_after_another_is_no_repeat():
    ids = np.array([1, 2, 3, 2, 1, 2])  # 2 comes after 3 for the first time; after 1, for the second
    found = repetition(of(make_text("p", "repetition", ids, target=3)), BOOTSTRAP)
    assert found["repeat"].values.tolist() == [0, 1]


def test_repetition_takes_passages_that_mostly_repeat_and_no_other_category():
    cycle = np.tile([1, 2], 8)
    lens = join(
        make_text("cycle", "passages", cycle),
        make_text("plain", "passages", np.arange(16)),
        make_text("fact", "semantic", cycle, target=1),
    )
    found = repetition(of(lens), BOOTSTRAP)
    assert (found["repeat_depth_n"] == 1).all() and found.sizes["repeat"] == 8
    nothing = repetition(of(lens.isel(token=slice(16, None))), BOOTSTRAP)
    assert "repeat" not in nothing.dims and nothing["repeat_change_n"] == 0


def test_change_with_repeats_is_within_prompts():
    """A late, long prompt and an early, short one: the mean by number falls, yet no prompt changes."""

    def constant(name, depth, cycles):
        ranks = np.where(np.arange(5) >= depth, 0, 99)[:, None]
        return make_text(name, "repetition", np.tile([1, 2], cycles), target=1, rank_of_target=ranks)

    found = repetition(of(join(constant("short", 4, 3), constant("long", 1, 6))), BOOTSTRAP)
    at = found.sel(decoder="logit")
    np.testing.assert_allclose(at["repeat_depth"], [2.5] * 3 + [1] * 3)
    assert at["repeat_depth_n"].values.tolist() == [2] * 3 + [1] * 3
    assert at["repeat_change"] == 0 and at["repeat_change_n"] == 2


def test_repetition_of_a_file_without_any_is_nothing(tmp_path):
    """Read from a file, HDF5 fails at a choice of many depths and of no tokens together."""
    path = str(tmp_path / "lens.nc")
    io.write_dataset(make_text("p", "semantic", [1, 2, 3, 4], target=3, n_layers=48), path)
    with io.open_dataset(path) as lens:
        assert (lens["depth"] % 1 != 0).any()
        found = repetition({"logit": lens}, BOOTSTRAP)
    assert found["repeat_change"].isnull().all()


def test_repetition_equals_the_loop():
    lenses, *_ = make_run()
    for lens in lenses.values():
        lens["rank_of_target"] = lens["rank_of_target"].where(lens["rank_of_target"] < 6, 99)
    found = repetition(lenses, BOOTSTRAP).sel(decoder="logit")
    prompts = [f"repetition-{i}" for i in range(3)]
    depth, share = oracle.repeat_means(lenses["logit"], prompts)
    assert found["repeat"].values.tolist() == sorted(depth)
    for number in depth:
        at = found.sel(repeat=number)
        np.testing.assert_allclose(at["repeat_depth"], oracle.mean(depth[number]))
        np.testing.assert_allclose(at["repeat_share"], oracle.mean(share[number]))
        assert at["repeat_share_n"] == len(share[number])
    assert 0 < float(found["repeat_share"].min()) < 1  # the case must hold what never arrives


# Prediction depth ---------------------------------------------------------------------------


def test_prediction_depth_is_where_the_top_guess_stays():
    guesses = np.array([[1, 5], [2, 7], [1, 5], [3, 5], [3, 5]])  # 3 stays from 3 on, 5 from 2 on
    parts = join(
        make_text("a", "c", np.arange(2), top_id=guesses),
        make_text("b", "c", np.arange(1), top_id=guesses[:, :1] * 0),
    )
    found = prediction_depth(of(parts), BOOTSTRAP).sel(decoder="logit", category="c")
    assert found["prediction_depth"] == pytest.approx(((3 + 2) / 2 + 0) / 2)
    assert found["prediction_depth_last"] == pytest.approx((2 + 0) / 2)


def test_prediction_depths_equal_the_loop():
    lenses, *_ = make_run()
    found = prediction_depth(lenses, BOOTSTRAP).sel(decoder="logit")
    for category in found["category"].values:
        at = found.sel(category=category)
        every, last = oracle.prediction_depths(lenses["logit"], category)
        assert at["prediction_depth"] == pytest.approx(every)
        assert at["prediction_depth_last"] == pytest.approx(last)


# Intervals ----------------------------------------------------------------------------------


def difference(x, y, axis):
    return x.mean(axis) - y.mean(axis)


@pytest.mark.parametrize("statistic,sizes,truth", [(np.mean, (40,), 1.0), (difference, (40, 25), 0.0)])
def test_intervals_cover_as_often_as_they_say(statistic, sizes, truth):
    rng = np.random.default_rng(0)
    covered = []
    for seed in range(300):
        samples = [rng.gamma(4, 1 / 4, n) for n in sizes]  # mean 1, skewed
        at = Bootstrap(300, 0.9, seed).estimate("x", statistic, *samples)
        covered.append(float(at["x_low"]) <= truth <= float(at["x_high"]))
    assert 0.84 < np.mean(covered) < 0.95  # 0.9, give or take 3.5 standard errors


def test_units_that_are_undefined_are_left_out():
    values = np.arange(20.0)
    at = BOOTSTRAP.estimate("x", np.mean, np.insert(values, 3, np.nan))
    xr.testing.assert_identical(at, BOOTSTRAP.estimate("x", np.mean, values))
    assert at["x"] == 9.5 and at["x_n"] == 20 and at["x_low"] < 9.5 < at["x_high"]
    at = BOOTSTRAP.estimate("x", np.mean, np.array([np.nan]))
    assert np.isnan(at["x"]) and at["x_n"] == 0 and np.isnan(at["x_low"])


def test_intervals_hang_on_the_seed_and_the_category_alone():
    lenses, table, counts = make_run(prompts_of_category=8)
    found = ask(lenses, table, counts, **OPTIONS)
    xr.testing.assert_identical(found, ask(lenses, table, counts, **OPTIONS))
    kept = {name: lens.isel(token=(lens["category"] != "passages").values) for name, lens in lenses.items()}
    fewer = ask(kept, table, counts, **OPTIONS)
    for name in ("prediction_depth", "kl_final_share", "target_depth"):
        for end in ("", "_low", "_high"):
            one, two = (q[name + end].sel(category=["semantic", "copying"]) for q in (found, fewer))
            np.testing.assert_array_equal(one, two)
    other = ask(lenses, table, counts, **OPTIONS | {"seed": 4})
    assert not other["prediction_depth_low"].equals(found["prediction_depth_low"])
    assert other["prediction_depth"].equals(found["prediction_depth"])


def test_decoders_share_their_draws():
    lens = join(*(make_text(f"p{i}", "c", np.arange(2), n_layers=1, kl_final=[[i + 1.0]]) for i in range(9)))
    lens["kl_final"][1:] = 0.3 * np.arange(18) % 1
    found = first_block({"logit": lens, "tuned": lens}, BOOTSTRAP)
    xr.testing.assert_equal(found.isel(decoder=0, drop=True), found.isel(decoder=1, drop=True))


# All together -------------------------------------------------------------------------------


def test_answers_are_the_questions_numbers(tmp_path):
    lenses, table, counts = make_run()
    questions = ask(lenses, table, counts, **OPTIONS)
    io.write_dataset(questions, tmp_path / "questions.nc")
    xr.testing.assert_equal(io.open_dataset(tmp_path / "questions.nc"), questions)
    found = answers(io.open_dataset(tmp_path / "questions.nc"))
    named = {(question, statistic): name for question, name, statistic, _ in HEADLINES}
    asked = {key for key in named if key[0] != "endings"}  # no text here demands a word
    assert {(row.question, row.statistic) for row in found.itertuples()} == asked
    for row in found.itertuples():
        name = named[row.question, row.statistic]
        where = {"decoder": row.decoder}
        if not pd.isna(row.depth):
            where["depth"] = row.depth
        if row.group.startswith("repeat "):
            where["repeat"] = int(row.group.removeprefix("repeat "))
        elif row.group:
            where["category"] = row.group
        if "share" in name and "kl" in name:
            where["layer"] = 0
        at = questions.sel({dim: value for dim, value in where.items() if dim in questions.dims})
        np.testing.assert_equal(row.value, at[name].item())
        if f"{name}_low" in at:
            np.testing.assert_equal(
                (row.low, row.high), (at[f"{name}_low"].item(), at[f"{name}_high"].item())
            )
        assert row.n == at[f"{name}_n"].item() > 0
    assert not found.duplicated(["question", "decoder", "group", "depth", "statistic"]).any()
    io.write_table(found, tmp_path / "answers.tsv")
    again = io.read_table(tmp_path / "answers.tsv")
    order = ["question", "decoder", "group", "depth", "statistic", "value", "low", "high", "n", "unit"]
    assert list(again) == order
    assert again.loc[again["question"] == "prediction_depth", "depth"].isna().all()
    assert set(again.loc[again["question"] == "commas", "depth"].dropna()) == {0, 1, 2, 3}


def test_any_categories_will_do(tmp_path):
    """No copying, no repetition, no passage, no counts: what is not asked for is left out."""
    lens = join(*(arriving(f"p{i}", "mine", [99, i, 9, 9]) for i in range(3)))
    lens["kl_final"][:] = 3.0 - lens["depth"].astype(float)
    questions = ask(of(lens), make_prompts(lens), None, **OPTIONS)
    io.write_dataset(questions, tmp_path / "questions.nc")
    questions = io.open_dataset(tmp_path / "questions.nc")
    found = answers(questions)
    assert set(found["question"]) == {"first_block", "target_depth", "prediction_depth"}
    assert set(found["group"]) == {"all", "mine"}
    assert questions.sizes["passage"] == 0 and "frequency_rho" not in questions
    with_counts = ask(of(lens), make_prompts(lens), pd.Series(np.ones(9)), **OPTIONS)
    assert (with_counts["copied_words_n"] == 0).all() and with_counts["copied_change"].isnull().all()


def test_what_cannot_be_asked_is_refused():
    lenses, table, counts = make_run()
    for change, told in (
        ({"resamples": 0}, "resamples .* not 0"),
        ({"interval": 1.0}, "interval .* not 1.0"),
    ):
        with pytest.raises(ValueError, match=told):
            ask(lenses, table, counts, **OPTIONS | change)
    logit = lenses["logit"]
    for other, told in (
        (logit.isel(token=slice(1, None)), "logit and tuned were read out on different tokens"),
        (logit.isel(depth=slice(1, None)), "logit and tuned were read out at different depths"),
        (logit.assign_attrs(norm="plain"), "logit and tuned have different norms"),
    ):
        with pytest.raises(ValueError, match=told):
            ask({"logit": logit, "tuned": other}, table, counts, **OPTIONS)
    named = logit.assign_coords(category=("token", np.full(logit.sizes["token"], "all")))
    with pytest.raises(ValueError, match="cannot be called 'all'"):
        ask(of(named), table, counts, **OPTIONS)
