"""What is packed for the explorer comes out again, rounded as far as is said."""

import base64
import gzip

import numpy as np
import pytest

from oracles.explorer import assert_rounded, read_page, read_prompt
from oracles.explorer_example import NOISES, SUBJECTS, TEXTS, make_lenses, make_trace, of_prompt
from strata.figures.explorer import build_explorer
from strata.figures.explorer_packing import bent, changes, encode, rank_codes


@pytest.fixture(scope="module")
def lenses():
    return make_lenses()


def read(html):
    header, prompts = read_page(html)
    return {prompt: read_prompt(header, *packed) for prompt, packed in prompts.items()}


def assert_same(found, lenses, without=()):
    for prompt in found:
        for decoder, lens in lenses.items():
            exact = of_prompt(lens, prompt)
            for name, values in found[prompt][0][decoder].items():
                if name not in without:
                    assert_rounded(name, values, exact[name].values, exact["top_logprob"].values)


def test_all_readouts_of_all_prompts_come_out(lenses):
    found = read(build_explorer(lenses))
    assert list(found) == list(TEXTS)
    assert_same(found, lenses)
    assert all(trace is None for _, trace in found.values())


def test_large_ranks_come_out_to_one_per_cent(lenses):
    """As of a vocabulary of 140,000."""
    ranks = [name for name in lenses["logit"] if name.startswith("rank_")]
    large = {
        decoder: lens.assign({name: lens[name].where(lens[name] < 2, lens[name] ** 4 * 7) for name in ranks})
        for decoder, lens in lenses.items()
    }
    assert max(int(lens["rank_of_guess"].max()) for lens in large.values()) > 50_000
    assert_same(read(build_explorer(large)), large)


def test_ranks_of_guesses_may_be_kept_of_some_decoders_or_none(lenses):
    one = {"logit": lenses["logit"], "tuned": lenses["tuned"].drop_vars(["rank_of_guess", "guess"])}
    found = read(build_explorer(one))
    assert_same(found, {"logit": lenses["logit"]})
    assert_same(found, {"tuned": lenses["tuned"]}, without=["rank_of_guess"])
    ranks = found["p$1$"][0]["tuned"]["rank_of_guess"]
    exact = of_prompt(lenses["tuned"], "p$1$")["rank_of_guess"].values
    assert (ranks == -2).any() and (ranks >= 0).any()
    np.testing.assert_array_equal(ranks[ranks >= 0], exact[ranks >= 0])  # final guess, input, true next token


def test_dimensions_may_come_in_any_order(lenses):
    turned = {name: lens.transpose("token", "k", "guess", "depth") for name, lens in lenses.items()}
    assert build_explorer(turned) == build_explorer(lenses)


def test_traces_come_out(lenses):
    trace = make_trace(lenses["logit"])
    header, prompts = read_page(build_explorer(lenses, trace))
    assert [noise["name"] for noise in header["noises"]] == NOISES
    assert [noise["label"] for noise in header["noises"]][0] == "noise sd 0.1"
    assert header["noise"] == "3x"  # takes half of the clean probability from most prompts
    assert header["traceDepths"] == trace["depth"].values.tolist()
    assert [prompt for prompt, (own, _) in prompts.items() if "trace" in own] == list(SUBJECTS)
    for prompt, (first, last) in SUBJECTS.items():
        own, numbers = prompts[prompt]
        told, exact = own["trace"], trace.sel(prompt=prompt).mean("sample")
        assert (told["start"], told["stop"]) == (first, last + 1)
        assert told["clean"] == pytest.approx(float(exact["p_clean"]), abs=1e-5)
        corrupted = [np.nan if p is None else p for p in told["corrupted"]]
        np.testing.assert_allclose(corrupted, exact["p_corrupted"], atol=1e-5)
        found = read_prompt(header, own, numbers)[1]
        restored = exact["p_target"].values[..., first : int(exact["n_tokens"])]
        known = ~np.isnan(restored)
        assert known[:2].all()
        np.testing.assert_allclose(found[known], restored[known], atol=0.5001e-4)


def test_a_trace_of_other_tokens_is_refused(lenses):
    trace = make_trace(lenses["logit"])
    strings = trace["token_str"].copy(deep=True)
    strings[1, 0] = "other"
    with pytest.raises(ValueError, match="'third': its trace and its lens are of different tokens"):
        build_explorer(lenses, trace.assign_coords(token_str=strings))


def test_traces_of_prompts_that_are_not_in_the_page_are_left_out(lenses):
    trace = make_trace(lenses["logit"])
    _, prompts = read_page(build_explorer(lenses, trace, ["walk", "third"]))
    assert [(prompt, "trace" in own) for prompt, (own, _) in prompts.items()] == [
        ("walk", False),
        ("third", True),
    ]


# Rounding -----------------------------------------------------------------------------------


def test_nats_are_off_by_as_much_as_is_said():
    nats = np.concatenate([np.linspace(0, 1, 2001), np.geomspace(1, 40, 2001)])
    back = np.expm1(bent(nats) / 50) / 20
    bound = (1 + 20 * nats) / (2 * 20 * 50)
    assert (np.abs(back - nats) <= 1.01 * bound).all()
    # In percentage points of a probability, as the module says.
    for p, points in ((0.99, 0.06), (0.5, 0.4), (0.1, 0.25), (0.01, 0.05), (0.001, 0.007)):
        assert 100 * p * (1 + 20 * -np.log(p)) / (2 * 20 * 50) <= points
    assert bent(np.array([np.nan, -1e-7])).tolist() == [0, 0]


def test_ranks_are_exact_below_100_and_right_to_one_per_cent():
    ranks = np.unique(np.geomspace(1, 300_000, 5000).astype(int))
    codes = rank_codes(ranks)
    back = np.where(codes < 100, codes, 100 * np.exp((codes - 100) / 50))
    assert (back[ranks < 100] == ranks[ranks < 100]).all()
    np.testing.assert_allclose(back, ranks, rtol=0.0101)
    assert rank_codes(np.array([-1])).tolist() == [0]


def test_changes_carry_their_signs_in_the_lowest_bit():
    codes = np.array([[3, 3, 1, 8], [0, -2, -2, 5]], np.int32)
    assert changes(codes).tolist() == [[6, 0, 3, 14], [0, 3, 0, 14]]


def test_pieces_are_one_gzip_stream_in_letters_that_cannot_end_a_script():
    pieces = [b"</script><!--", bytes(range(256)) * 40, b""]
    text = encode(*pieces)
    assert gzip.decompress(base64.b64decode(text, validate=True)) == b"".join(pieces)
    assert not set(text) & set("<>&!-")
    assert encode(*pieces) == text


def test_ids_of_a_large_vocabulary_come_out(lenses):
    far = {
        name: lens.assign(top_id=lens["top_id"] + 150_000).assign_coords(
            token_id=lens["token_id"] + 150_000,
            target_id=lens["target_id"].where(lens["target_id"] < 0, lens["target_id"] + 150_000),
        )
        for name, lens in lenses.items()
    }
    header, _ = read_page(build_explorer(far))
    assert min(header["ids"]) >= 150_000 and len(header["ids"]) == 12
    assert_same(read(build_explorer(far)), far)
