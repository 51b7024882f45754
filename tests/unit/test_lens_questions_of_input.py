import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from oracles import lens_questions as oracle
from oracles.lens_questions import join, make_prompts, make_run, make_text
from strata.lens.questions_of_input import commas, first_instance, input_kept
from strata.stats.bootstrap import Bootstrap
from strata.stats.thresholds import LEAST_UNITS

BOOTSTRAP = Bootstrap(resamples=200, interval=0.9, seed=3)


def of(lens):
    return {"logit": lens}


# The input ----------------------------------------------------------------------------------


def kept_lens(ranks):
    """Types 0, 1, ... with the given ranks of the input at all depths but 0; each stands twice."""
    ids = np.repeat(np.arange(len(ranks)), 2)
    rank = np.repeat(ranks, 2)[None] * (np.arange(5) > 0)[:, None]
    return make_text("p", "c", ids, rank_of_input=rank)


@pytest.mark.parametrize("sign", [1, -1])
def test_rank_that_follows_frequency_correlates_perfectly(sign):
    lens = kept_lens(np.arange(LEAST_UNITS) ** 2)
    counts = pd.Series(10 ** np.arange(LEAST_UNITS))[::sign]
    found = input_kept(of(lens), counts.set_axis(range(LEAST_UNITS)), BOOTSTRAP).sel(decoder="logit")
    np.testing.assert_allclose(found["frequency_rho"].values[1:], sign)
    for end in ("low", "high"):
        np.testing.assert_allclose(found[f"frequency_rho_{end}"].values[1:], sign)
    assert np.isnan(found["frequency_rho"].values[0])  # all are kept at depth 0: there is no order
    assert found["frequency_rho_overall"] == pytest.approx(sign)
    assert found["frequency_rho_n"] == LEAST_UNITS  # types, not tokens


def test_correlation_and_bands_equal_the_loop():
    lenses, _, counts = make_run()
    counts = counts // 2 * 2  # with ties
    found = input_kept(lenses, counts, BOOTSTRAP)
    for decoder, lens in lenses.items():
        ids = lens["token_id"].values.tolist()
        types = sorted(set(ids))
        by_type = []
        for row in oracle.whole(lens, "rank_of_input"):
            log_rank = [math.log10(rank + 1) for rank in row]
            by_type.append(
                [oracle.mean([v for v, i in zip(log_rank, ids, strict=True) if i == t]) for t in types]
            )
        met = [int(counts[t]) for t in types]
        at = found.sel(decoder=decoder)
        for depth in range(1, 4):
            assert at["frequency_rho"].sel(depth=depth) == pytest.approx(oracle.spearman(met, by_type[depth]))
        overall = [oracle.mean(column) for column in zip(*by_type[1:], strict=True)]
        assert at["frequency_rho_overall"] == pytest.approx(oracle.spearman(met, overall))
        for band in found["band"].values:
            low, high = int(band.split(" to ")[0]), int(band.split(" to ")[-1])
            inside = [i for i, m in enumerate(met) if low <= m <= high]
            assert at["band_log_rank_n"].sel(band=band) == len(inside)
            for depth in range(4):
                expected = np.median([by_type[depth][i] for i in inside])
                assert at["band_log_rank"].sel(band=band, depth=depth) == pytest.approx(expected)
    assert found["band_log_rank_n"].isel(decoder=0).sum() == len(types)


def test_a_fifth_of_the_types_is_in_each_band():
    counts = pd.Series([7, 1, 900, 30, 2, 44, 8, 1000, 10, 3])
    ranks = np.array([9, 0, 999, 9, 0, 99, 9, 999, 9, 0])
    found = input_kept(of(kept_lens(ranks)), counts, BOOTSTRAP).isel(decoder=0)
    assert found["band"].values.tolist() == ["1 to 2", "3 to 7", "8 to 10", "30 to 44", "900 to 1,000"]
    assert (found["band_log_rank_n"] == 2).all()
    np.testing.assert_allclose(found["band_log_rank"].sel(depth=2), [0, 0.5, 1, 1.5, 3])


def test_types_of_one_count_share_a_band():
    counts = pd.Series([0] * 5 + [1000, 2000, 3000, 4000, 5000])
    found = input_kept(of(kept_lens(np.arange(10))), counts, BOOTSTRAP).isel(decoder=0)
    members = dict(zip(found["band"].values, found["band_log_rank_n"].values, strict=True))
    assert members["0"] == 5 and sum(members.values()) == 10
    same = input_kept(of(kept_lens(np.arange(10))), counts * 0, BOOTSTRAP).isel(decoder=0)
    assert same["band"].values.tolist() == ["0"]
    assert same["frequency_rho"].isnull().all()


def test_intervals_of_the_correlation_cover():
    """Ranks of the input that hang on frequency but for noise: the truth is that of many tokens."""
    rng = np.random.default_rng(1)

    def draw(n):
        counts = rng.integers(1, 10**6, n)
        return counts, np.exp(np.log(counts) / 4 + rng.normal(0, 1, n)).astype(int)

    truth = spearmanr(*draw(200_000)).statistic
    assert 0.2 < truth < 0.6
    covered = []
    for counts, ranks in (draw(60) for _ in range(60)):
        found = input_kept(of(kept_lens(ranks)), pd.Series(counts), Bootstrap(200, 0.9, 0))
        low, high = (float(found[f"frequency_rho_overall_{end}"][0]) for end in ("low", "high"))
        covered.append(low <= truth <= high)
    assert np.mean(covered) > 0.78  # 0.9 less three standard errors


def test_a_token_without_a_count_is_an_error():
    with pytest.raises(ValueError, match="no counts of 2 tokens .* id 6"):
        input_kept(of(kept_lens(np.arange(8))), pd.Series(np.arange(6)), BOOTSTRAP)


# Commas -------------------------------------------------------------------------------------


def test_commas_of_passages_stand_side_by_side():
    ids = np.array([1, 100, 2, 101, 103, 3, 102, 100])  # commas at 1, 3, 6 and a fourth; ",," is none
    ranks = np.zeros((5, 8), int)
    ranks[:, [1, 3, 6]] = np.outer(np.arange(5), [9, 99, 999])
    ranks[:, 7] = 5555
    lens = join(
        make_text("two", "passages", np.array([100, 1, 101])),
        make_text("long", "passages", ids, rank_of_input=ranks),
        make_text("prompt", "semantic", np.array([100, 100, 100])),
    )
    found = commas(of(lens), BOOTSTRAP).sel(decoder="logit")
    assert found["passage"].values.tolist() == ["long"]
    assert found["comma_position"].values.tolist() == [[1, 3, 6]]
    np.testing.assert_array_equal(found["comma_rank"].sel(passage="long").values, ranks[:, [1, 3, 6]].T)
    expected = np.log10(ranks[:, 6] + 1) - np.log10(ranks[:, 1] + 1)
    np.testing.assert_allclose(found["comma_change"], expected)
    assert found["comma_change_overall"] == pytest.approx(expected[1:].mean())
    assert found["comma_change_n"] == 1 and np.isnan(found["comma_change_low"]).all()


def test_change_of_commas_is_the_mean_over_passages():
    parts = [
        make_text(f"p{i}", "passages", np.array([100, 100, 100]), rank_of_input=[[0, 5, 10**change - 1]])
        for i, change in enumerate(5 * [1, 2, 3])
    ]
    found, few = (commas(of(join(*some)), BOOTSTRAP).sel(decoder="logit") for some in (parts, parts[:3]))
    for passages in (found, few):
        np.testing.assert_allclose(passages["comma_change"], 2)
    assert (found["comma_change_low"] < 2).all() and (found["comma_change_high"] > 2).all()
    assert found["comma_change_n"] == 15 and few["comma_change_low"].isnull().all()


# Words to be copied -------------------------------------------------------------------------


def copying_lens():
    """Words to be copied: 10 and 11 in "a" (it comes twice), 20 in "b"; all else is there to be chosen."""
    ids = {
        "a": [50, 10, 11, 30, 30, 10, 11, 31],
        "b": [20, 32, 20, 33],  # where the subject is said for the second time, it is copied from the first
        "c": [40, 41],  # not of copying
        "d": [60, 61],  # not accepted
    }
    ranks = {
        "a": [10**5, 99, 10**5, 9, 10**5, 10**5, 10**5, 0],
        "b": [999, 0, 10**5, 10**5],
        "c": [10**5] * 2,
        "d": [10**5] * 2,
    }
    parts = [
        make_text(p, "semantic" if p == "c" else "copying", np.array(i), rank_of_input=[ranks[p]])
        for p, i in ids.items()
    ]
    lens = join(*parts)
    table = make_prompts(lens, accepted=["a", "b", "c"], a=(1, 2), b=(2, 1), c=(1, 1), d=(1, 1))
    return lens, table


def test_copied_word_stands_beside_the_nearest_in_frequency():
    lens, table = copying_lens()
    counts = pd.Series(5, index=range(100))  # most are nearly as frequent as no word to be copied
    counts[[10, 20]] = 1000
    counts[[30, 31, 32]] = [1100, 1300, 3000]  # 32 is too frequent
    counts[[11, 41, 61]] = 1000  # part of the word, of another category, not accepted
    counts[50] = 1000  # as frequent, but at position 0
    found = first_instance(of(lens), table, counts, BOOTSTRAP).sel(decoder="logit")
    # "a": log10(99 + 1) minus that of 30 where it is first, log10(9 + 1); "b" begins its prompt, as 50 does.
    np.testing.assert_allclose(found["copied_change"], np.mean([2 - 1, 3 - math.log10(10**5 + 1)]))
    assert found["copied_change_n"] == 2
    assert (found["copied_words"], found["copied_words_n"], found["copied_controls"]) == (2, 2, 2)
    assert found["copied_change_overall"] == pytest.approx(float(found["copied_change"][0]))

    counts[50] = 400
    alone = first_instance(of(lens), table, counts, BOOTSTRAP).sel(decoder="logit")
    np.testing.assert_allclose(alone["copied_change"], 1)
    assert (alone["copied_words"], alone["copied_words_n"], alone["copied_controls"]) == (1, 2, 1)
    assert alone["copied_change_low"].isnull().all()


def test_words_equally_near_are_all_controls():
    lens, table = copying_lens()
    counts = pd.Series(5, index=range(100))
    counts[[10, 30, 31]] = [1000, 1100, 1100]
    counts[20] = 10**6
    found = first_instance(of(lens), table, counts, BOOTSTRAP).sel(decoder="logit")
    np.testing.assert_allclose(found["copied_change"], 2 - (1 + 0) / 2)
    assert found["copied_controls"] == 2


def test_a_word_is_no_control_for_itself():
    lens, table = copying_lens()
    other = make_text("e", "copying", np.array([51, 10, 70]), rank_of_input=[[5, 5, 5]])
    lens = join(lens, other)
    table = pd.concat([table, make_prompts(other, e=(2, 1))])
    counts = pd.Series(5, index=range(100))
    counts[10] = 1000
    found = first_instance(of(lens), table, counts, BOOTSTRAP)
    # 10 is said in "e" without being asked for, but it is the same word.
    assert found["copied_words"].item() == 2 and found["copied_words_n"].item() == 3
