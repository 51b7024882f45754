"""Demanded last words: where they are looked up, and what is said of them."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from oracles import endings as oracle
from strata import io
from strata.lens.answers import answers
from strata.lens.labels import as_dataset, demanded_words, next_tokens
from strata.lens.questions import ask
from strata.lens.questions_of_endings import endings
from strata.lens.readout import carry_by, pieces_of, read_activations
from strata.model.norms import Norm
from strata.model.readout import LogitDecoder
from strata.stats.bootstrap import Bootstrap
from strata.stats.thresholds import LEAST_UNITS

BOOTSTRAP = Bootstrap(resamples=200, interval=0.9, seed=3)
PLACES = ("way", "end")


def pairs_of(kinds, wanted=None):
    return [(f"p{p}-a", f"p{p}-b") for p, both in enumerate(kinds) if wanted in (None, both)]


def test_answers_equal_the_loop():
    ways, kinds = [2, 5, 3, 4], [True, False, False, True]
    lens, table = oracle.make_endings(ways, kinds)
    tuned = oracle.make_endings(ways, kinds, seed=50)[0]
    found = endings({"logit": lens, "tuned": tuned}, table, BOOTSTRAP)
    groups = {"all": None, "one word named": False, "both words named": True}
    assert found["demand"].values.tolist() == list(groups)
    for decoder, own in {"logit": lens, "tuned": tuned}.items():
        log_rank = np.log10(own["rank_of_word"].where(own["rank_of_word"] >= 0) + 1)
        for name, values in {"logprob": own["logprob_word"], "log_rank": log_rank}.items():
            for group, wanted in groups.items():
                pairs = pairs_of(kinds, wanted)
                for place in PLACES:
                    at = found.sel(decoder=decoder, demand=group, place=place)
                    for depth in range(4):
                        words = [
                            oracle.mean_over_pairs(values, table, pairs, depth, word, place)
                            for word in (0, 1)
                        ]
                        np.testing.assert_allclose(at[f"ending_{name}"].sel(depth=depth), words)
                        change = at[f"ending_{name}_change"].sel(depth=depth)
                        assert float(change) == pytest.approx(words[0] - words[1])
                assert int(found[f"ending_{name}_n"].sel(demand=group)[0]) == len(pairs)
        for n in range(5):
            long = [pair for pair, way in zip(pairs_of(kinds), ways, strict=True) if way > n]
            assert int(found["ending_from_end_n"].sel(decoder=decoder, from_end=n)) == len(long)
            for depth in range(4):
                demanded, other = (
                    np.mean(
                        [oracle.by_token(own["logprob_word"], table, pair, depth, word)[n] for pair in long]
                    )
                    for word in (0, 1)
                )
                at = found["ending_from_end"].sel(decoder=decoder, from_end=n, depth=depth)
                assert float(at) == pytest.approx(demanded - other)
    assert found["ending_logprob_low"].isnull().all()  # too few pairs


def test_intervals_are_over_pairs():
    lens, table = oracle.make_endings([3] * LEAST_UNITS + [4] * 2, [True] * LEAST_UNITS + [False] * 2)
    found = endings({"logit": lens}, table, BOOTSTRAP).isel(decoder=0)
    both, one = (found.sel(demand=f"{which} named") for which in ("both words", "one word"))
    assert int(both["ending_logprob_change_n"]) == LEAST_UNITS and int(one["ending_logprob_change_n"]) == 2
    low, mean, high = (both[f"ending_logprob_change{end}"] for end in ("_low", "", "_high"))
    assert ((low < mean) & (mean < high)).all()
    assert one["ending_logprob_change"].notnull().all() and one["ending_logprob_change_low"].isnull().all()


def test_a_planted_difference_is_found_where_it_was_planted():
    """From depth 2 on, at the last token alone, the demanded word is 3 nat above the other."""
    lens, table = oracle.make_endings([3, 5], [True, False])
    ends = np.flatnonzero(lens["prompt"].values[:-1] != lens["prompt"].values[1:])
    logprob = np.where(lens["logprob_word"].isnull(), np.nan, -5.0)
    late = lens["depth"].values >= 2
    logprob[np.ix_(late, ends, [0])] += 3
    found = endings(
        {"logit": lens.assign(logprob_word=(lens["logprob_word"].dims, logprob))}, table, BOOTSTRAP
    )
    change = found["ending_logprob_change"].sel(decoder="logit")
    assert (change.sel(place="way") == 0).all()
    for demand in change["demand"].values:
        assert change.sel(place="end", demand=demand).values.tolist() == [0, 0, 3, 3]
    from_end = found["ending_from_end"].sel(decoder="logit")
    assert from_end.sel(from_end=0).values.tolist() == [0, 0, 3, 3] and (from_end[1:] == 0).all()


def test_they_are_among_the_questions_and_their_answers(tmp_path):
    lens, table = oracle.make_endings([3, 5], [True, False])
    lens["category"][:] = "endings"
    table = table.assign(subject_start=-1, subject_n_tokens=0)
    questions = ask({"logit": lens}, table, None, resamples=20, interval=0.9, seed=0)
    xr.testing.assert_equal(
        questions["ending_log_rank"], endings({"logit": lens}, table, BOOTSTRAP)["ending_log_rank"]
    )
    io.write_dataset(questions, tmp_path / "questions.nc")
    found = answers(io.open_dataset(tmp_path / "questions.nc")).query("question == 'endings'")
    assert len(found) == 2 * 3 * 2 * 4  # measures, kinds of demand, places, depths
    row = found.query("group == 'both words named, end' and depth == 2 and unit == 'nat'")
    value = questions["ending_logprob_change"].sel(demand="both words named", place="end", depth=2)
    assert row["value"].item() == pytest.approx(value.item()) and row["n"].item() == 1


def test_words_are_looked_up_on_the_way_of_every_decoder_s_states():
    """From prompts and states to the file's variables, against products written out."""
    rng = np.random.default_rng(0)
    texts = {"a": 5, "text": 3, "b": 5, "x": 4}  # of a pair, one that demands nothing, and one not accepted
    prompt = np.repeat(list(texts), list(texts.values()))
    n, n_layers, width, vocab = len(prompt), 2, 8, 12
    shapes = {
        "resid": ("depth", n_layers + 1),
        "attn_out": ("layer", n_layers),
        "mlp_out": ("layer", n_layers),
    }
    activations = xr.Dataset(
        {
            name: ((dim, "token", "channel"), rng.normal(size=(size, n, width)).astype(np.float32))
            for name, (dim, size) in shapes.items()
        },
        coords={
            "prompt": ("token", prompt.astype(object)),
            "position": ("token", np.concatenate([np.arange(size) for size in texts.values()])),
            "token_id": ("token", rng.integers(vocab, size=n)),
            "token_str": ("token", np.full(n, "t", dtype=object)),
        },
    )
    prompts = pd.DataFrame(
        {
            "id": list(texts),
            "category": ["endings", "passages", "endings", "endings"],
            "fact": ["a", "text", "a", "x"],
            "pair": ["b", "", "a", "y"],
            "demands": [" w7", "", " w9", " w1"],
            "demanded_id": [7, -1, 9, 1],
            "way_n_tokens": [3, 0, 3, 2],
            "accepted": [True, True, True, False],
            "target_id": -1,
        }
    )
    words = demanded_words(activations, prompts)
    assert words[2:5].tolist() == [[7, 9]] * 3 and words[10:13].tolist() == [[9, 7]] * 3
    assert (np.delete(words, [2, 3, 4, 10, 11, 12], axis=0) == -1).all()
    assert demanded_words(activations, prompts.assign(demands="")) is None

    torch.manual_seed(0)
    decoder = LogitDecoder(Norm("rms", torch.ones(width), None, 1e-5), torch.randn(vocab, width))
    targets = next_tokens(activations, prompts)
    carry = carry_by(n_layers=n_layers)
    vocabulary = np.array([f"w{i}" for i in range(vocab)], dtype=object)

    def read(updates=False, **how):
        fields = read_activations(activations, decoder, carry, targets, 2, updates, False, words, **how)
        return as_dataset(fields, activations, targets, vocabulary, prompts, updates)

    lens = read()
    xr.testing.assert_equal(lens[["rank_of_word"]], read(cut=pieces_of(activations, 1))[["rank_of_word"]])
    assert lens["logprob_word"].attrs["units"] == "nat"
    assert lens["logprob_word"].dims == lens["rank_of_word"].dims == ("depth", "token", "word")
    assert lens["word"].values.tolist() == ["demanded", "other"] and "logprob_word" not in read(updates=True)
    for depth in range(n_layers + 1):
        logits = decoder.logits(torch.from_numpy(activations["resid"].values[depth])).double()
        for token, own in enumerate(words):
            at = lens.sel(depth=depth).isel(token=token)
            if own[0] < 0:
                assert at["logprob_word"].isnull().all() and (at["rank_of_word"] == -1).all()
                continue
            np.testing.assert_allclose(at["logprob_word"], logits[token].log_softmax(-1)[own], atol=1e-5)
            above = [(logits[token] > logits[token, word]).sum().item() for word in own]
            assert at["rank_of_word"].values.tolist() == above
