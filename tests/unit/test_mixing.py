import numpy as np
import pytest
import torch

from oracles import mixing as oracle
from oracles import planted, tiny_models
from strata.lens.mixing import GUESSES, NEXT, RANDOM, TOKENS, WAYS, draw_places, losses, measure, some_depths
from strata.model.architecture import find_parts

RNG = np.random.default_rng(0)
LENGTHS = (12, 4, 9, 5, 12)
DOCUMENTS = [RNG.integers(1, tiny_models.VOCAB, n).tolist() for n in LENGTHS]
STATISTICS = {"resamples": 100, "interval": 0.9, "seed": 0}


def oracle_change(parts, place, at):
    ids = DOCUMENTS[place.document]
    token = {NEXT: ids[place.position + 1], RANDOM: place.other}[at["towards"].item()]
    given = at["depth"].item(), at["applied"].item(), token, at["share"].item()
    return oracle.change(parts, ids, place.position, *given, at.sizes["ahead"])


@pytest.mark.parametrize("family", tiny_models.NAMES)
def test_changes_are_those_of_whole_forward_passes(family):
    parts = find_parts(tiny_models.build(family))
    places = draw_places(DOCUMENTS, 1, 3, 0)
    options = {"depths": [0, 2, tiny_models.LAYERS - 1], "shares": [0.3, 1], "horizon": 3}
    found = losses(parts, DOCUMENTS, places, **options)
    told = found["change"].stack(case=("depth", "applied", "towards", "share"))
    for number, place in enumerate(places):
        ids = DOCUMENTS[place.document]
        clean, _, logits = oracle.losses(parts, ids)
        assert bool(found["right"][number]) == (logits[place.position].argmax() == ids[place.position + 1])
        expected = clean[place.position + 1 :][:3]
        np.testing.assert_allclose(found["loss"][number], expected, atol=1e-4, rtol=1e-4)
        for case in range(told.sizes["case"]):
            at = told.isel(place=number, case=case)
            np.testing.assert_allclose(at, oracle_change(parts, place, at), atol=2e-4, rtol=1e-3)
    assert abs(told).max() > 0.01


def test_a_share_of_nothing_changes_nothing():
    parts = find_parts(tiny_models.build("gpt2"))
    places = draw_places(DOCUMENTS, 2, 2, 0)
    found = losses(parts, DOCUMENTS, places, depths=[0, 1, 3], shares=[0, 0.5], horizon=2)["change"]
    np.testing.assert_allclose(found.sel(share=0), 0, atol=1e-6)
    assert (abs(found.sel(share=0.5)) > 1e-4).all()


def test_at_the_last_block_both_ways_are_one():
    parts = find_parts(tiny_models.build("llama"))
    places = draw_places(DOCUMENTS, 2, 2, 0)
    found = losses(parts, DOCUMENTS, places, depths=[1, 3], shares=[0.5], horizon=2)["change"]
    apart = abs(found.sel(applied="once") - found.sel(applied="onwards"))
    assert apart.sel(depth=3).max() < 1e-6 < 1e-3 < apart.sel(depth=1).max()


def test_where_logits_do_not_fit_in_one_piece_losses_are_the_same(monkeypatch):
    parts = find_parts(tiny_models.build("gpt2").double())
    options = {"depths": [1], "shares": [0.5], "horizon": 2}
    places = draw_places(DOCUMENTS, 2, 2, 0)
    whole = losses(parts, DOCUMENTS, places, **options)["change"]
    monkeypatch.setattr("strata.lens.mixing.TILE_VALUES", 1)
    in_pieces = losses(parts, DOCUMENTS, places, **options)["change"]
    np.testing.assert_allclose(whole, in_pieces, atol=1e-13)


def test_places_have_what_they_need():
    many = [RNG.integers(0, 5, n).tolist() for n in (3, 4, 5, 30)] * 50
    places = draw_places(many, 4, 2, 0)
    drawn = {}
    for place in places:
        ids = many[place.document]
        assert place.position > 0 and place.position + 1 + 2 < len(ids)
        assert place.other != ids[place.position + 1]
        drawn.setdefault(place.document % 4, []).append(place.position)
    assert set(drawn) == {2, 3} and set(drawn[2]) == {1} and set(drawn[3]) == set(range(1, 27))
    assert [len(positions) for positions in drawn.values()] == [50, 200]
    per_place = {(place.document, place.position) for place in places}
    assert len(per_place) == len(places)


def test_other_tokens_are_as_frequent_as_in_the_text():
    documents = [[9, *RNG.choice([1, 1, 1, 2], 20).tolist(), 3] for _ in range(300)]
    after_2 = [p.other for p in draw_places(documents, 5, 1, 0) if documents[p.document][p.position + 1] == 2]
    assert set(after_2) == {1, 3} and np.mean(np.equal(after_2, 1)) == pytest.approx(15 / 16, abs=0.04)


def test_depths_are_in_equal_steps():
    assert some_depths(12, 6) == [0, 2, 4, 7, 9, 11]
    assert some_depths(2, 6) == [0, 1] and some_depths(30, 1) == [29]


# What is measured ---------------------------------------------------------------------------


TOLD, SUBJECT, LAST = 0, 1, 2
"""The token guessed at the subject, whose position that is, and the last token's."""
FIRST, ABSENT = (5, 6), (18, 19)
"""Tokens that documents begin with, and that are elsewhere in none; tokens that are in none at all."""


def transfer():
    """At the last position, block 3 finds the token of the subject, and it is the guess.

    At the subject, it finds the first token and the subject alike, and where there is a first token `TOLD` is
    the guess.
    """
    model = planted.one_transfer(3, LAST, SUBJECT)
    moved = planted.WIDTH - planted.VOCAB
    for token, absent in zip(FIRST, ABSENT, strict=True):
        # A difference: what the norm makes of channels where nothing is cancels.
        model.lm_head.weight[TOLD, moved + token] = 6.0
        model.lm_head.weight[TOLD, moved + absent] = -6.0
    return find_parts(model)


def told_again(next_tokens):
    """Documents whose third token follows itself: it is what the state of the second should have been."""
    return [[FIRST[n % 2], 7 + n % 3, token, token] for n, token in enumerate(next_tokens)]


def test_a_model_that_reads_the_state_is_told_the_next_token():
    """The last token is guessed to be the subject's: moved to the next token, states up to block 3 say it."""
    documents = told_again([TOLD] * 20 + [11, 12] * 8)
    options = {"shares": [0.5], "depths": planted.LAYERS, "positions": 3, "horizon": 1}
    found = measure(transfer(), documents, **options, **STATISTICS).squeeze("share")
    assert found["n_places"].values.tolist() == [20, 16] and found["change_n"].values.tolist() == [20, 16]
    assert (found["loss"] > 10).all()
    change = found["change"].sel(towards=NEXT)
    for way in WAYS:
        read = change.sel(applied=way, depth=slice(0, 3))
        np.testing.assert_allclose(read + found["loss"], 0, atol=0.1)
        assert (abs(change.sel(applied=way, depth=slice(4, None))) < 1e-4).all()
    assert (found["change"].sel(towards=RANDOM, depth=slice(0, 3)) > -0.5 * found["loss"]).all()
    assert (found["beyond_random_high"].sel(depth=slice(0, 3)) < -1).all()


def test_averages_are_over_documents_and_apart_by_guess():
    parts = find_parts(tiny_models.build("gpt2"))
    rng = np.random.default_rng(3)
    documents = [rng.integers(1, tiny_models.VOCAB, 8).tolist() for _ in range(40)]
    # Some next tokens are guessed.
    for document in documents[::2]:
        for position in range(1, 5):
            _, _, logits = oracle.losses(parts, document)
            if position % 3:
                document[position + 1] = int(logits[position].argmax())
    options = {"shares": [0.2, 1], "depths": 2, "positions": 3, "horizon": 2}
    found = measure(parts, documents, **options, **STATISTICS)
    places = draw_places(documents, 3, 2, STATISTICS["seed"])
    each = losses(parts, documents, places, depths=[0, 3], shares=[0.2, 1], horizon=2)
    assert found["depth"].values.tolist() == [0, 3] and found["towards"].values.tolist() == list(TOKENS)
    for guess in GUESSES:
        by_document = {}
        for number, place in enumerate(places):
            if bool(each["right"][number]) == (guess == "right"):
                by_document.setdefault(place.document, []).append(each["change"][number].mean("ahead"))
        expected = sum(sum(own) / len(own) for own in by_document.values()) / len(by_document)
        own = found.sel(guessed=guess)
        assert int(own["change_n"]) == len(by_document) >= 15
        assert int(own["n_places"]) > len(by_document)
        np.testing.assert_allclose(own["change"].transpose(*expected.dims), expected, atol=1e-6)
        beyond = expected.sel(towards=NEXT) - expected.sel(towards=RANDOM)
        np.testing.assert_allclose(own["beyond_random"].transpose(*beyond.dims), beyond, atol=1e-6)
        assert (own["change_low"] < own["change"]).all() and (own["change"] < own["change_high"]).all()


def test_few_documents_have_no_interval_and_no_right_guess_no_value():
    documents = told_again([11] * 14)
    options = {"shares": [0.5], "depths": 2, "positions": 1, "horizon": 1}
    found = measure(transfer(), documents, **options, **STATISTICS)
    assert found["n_places"].values.tolist() == [0, 14]
    assert found["change"].sel(guessed="right").isnull().all()
    assert found["change"].sel(guessed="wrong").notnull().all() and found["change_low"].isnull().all()


@pytest.mark.parametrize("wrong", [{"shares": [1.5]}, {"positions": 0}, {"horizon": 0}, {"depths": 0}])
def test_impossible_numbers_are_refused(wrong):
    options = {"shares": [0.5], "depths": 2, "positions": 1, "horizon": 1} | wrong
    with pytest.raises(ValueError, match="impossible"):
        measure(transfer(), told_again([11]), **options, **STATISTICS)


def test_documents_that_are_too_short_are_refused():
    with pytest.raises(ValueError, match="no document has 4 tokens"):
        draw_places([[1, 2, 3]], 1, 1, 0)
    assert draw_places([[1, 2, 3, 4]], 1, 1, 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_half_precision_runs(dtype):
    parts = find_parts(tiny_models.build("gpt2").to(dtype))
    whole = find_parts(tiny_models.build("gpt2"))
    places = draw_places(DOCUMENTS, 1, 2, 0)
    options = {"depths": [1, 3], "shares": [0, 0.5], "horizon": 2}
    rough, exact = (losses(p, DOCUMENTS, places, **options)["change"] for p in (parts, whole))
    assert abs(rough - exact).max() < 0.3 and abs(rough.sel(share=0)).max() < 1e-6 < abs(exact).max()
