"""Curation: where the subject lies among the tokens, and which prompts are accepted."""

import pytest
from tokenizers import ByteLevelBPETokenizer

from strata.text.prompts import begun, curate, occurrences, subject_span

FIRST = "the first token is the subject (put a text before it, as prompts.prefix_first does)"
FRANCE = {"id": "france", "text": "The capital of France is", "subject": "France", "target": " Paris"}


@pytest.fixture(scope="module")
def tokenizer() -> ByteLevelBPETokenizer:
    """Whole words of these texts are tokens; what else is split into letters and bytes."""
    texts = ["The capital of France is Paris", " under stand", " Zürich", "France"]
    made = ByteLevelBPETokenizer()
    made.train_from_iterator(texts * 20, vocab_size=400, min_frequency=2, show_progress=False)
    return made


def span(tokenizer, text, subject, **prompt):
    encoded = tokenizer.encode(text)
    found = subject_span({"text": text, "subject": subject, **prompt}, encoded.offsets)
    return found and tuple(encoded.tokens[found[0] : found[1] + 1])


def test_a_word_is_one_token_with_its_space(tokenizer):
    assert span(tokenizer, "The capital of France is", "France") == ("ĠFrance",)


def test_a_space_within_the_subject_changes_nothing(tokenizer):
    assert span(tokenizer, "The capital of France is", " France") == ("ĠFrance",)


def test_a_longer_subject_is_all_its_tokens(tokenizer):
    assert span(tokenizer, "The capital of France is", "capital of France") == ("Ġcapital", "Ġof", "ĠFrance")


def test_a_character_of_several_bytes_is_whole(tokenizer):
    tokens = span(tokenizer, "The capital of Ōsaka is", "Ōsaka")
    assert tokenizer.token_to_id(tokens[0]) is not None
    assert len(tokens) > 2 and "".join(tokens).endswith("saka")


def test_an_unbroken_script_needs_no_space(tokenizer):
    assert len(span(tokenizer, "首都は東京です", "東京")) == 6  # two characters of three bytes each


@pytest.mark.parametrize("subject", ["Fran", "rance", "capital of Fran"])
def test_an_edge_inside_a_token_is_no_subject(tokenizer, subject):
    assert span(tokenizer, "The capital of France is", subject) is None


@pytest.mark.parametrize("occurrence,expected", [(1, (0, 0)), (2, (2, 2)), (3, (3, 3))])
def test_occurrence_says_which(occurrence, expected):
    prompt = {"text": "no: no no", "subject": "no", "occurrence": occurrence}
    assert subject_span(prompt, [(0, 2), (2, 3), (3, 6), (6, 9)]) == expected


def test_offsets_without_the_space_are_understood():
    """Tokenizers that trim offsets leave the space between two tokens."""
    assert subject_span({"text": "a bc d", "subject": "bc"}, [(0, 1), (2, 4), (5, 6)]) == (1, 1)


def curated(tokenizer, top=None, completes=True, whole=True, top_str="x", **changes):
    prompt = FRANCE | changes
    encoded = tokenizer.encode(prompt["text"])
    target_ids = tokenizer.encode(prompt["target"]).ids
    top_id = target_ids[0] if top is None else tokenizer.encode(top).ids[0]
    row = curate(
        prompt,
        "semantic",
        encoded.ids,
        encoded.offsets,
        target_ids,
        0.5,
        0.25,
        completes,
        top_id,
        top_str,
        whole_target=whole,
    ).as_row()
    return row, encoded


def test_a_good_prompt_is_accepted_and_says_where_its_subject_is(tokenizer):
    row, encoded = curated(tokenizer)
    assert row["accepted"] and row["reason"] == ""
    assert row["subject_position"] == row["subject_start"] == 3 and row["subject_kind"] == "one token"
    assert row["subject_id"] == encoded.ids[3] and row["n_tokens"] == 5
    assert row["p_target"] == 0.5 and row["p_whole_target"] == 0.25 and row["target_id"] == row["top_id"]


def test_of_a_longer_subject_the_last_token_is_noised_and_the_row_says_so(tokenizer):
    row, encoded = curated(tokenizer, subject="capital of France")
    assert row["accepted"]
    assert (row["subject_start"], row["subject_position"], row["subject_n_tokens"]) == (1, 3, 3)
    assert row["subject_kind"] == "last of 3 tokens" and row["subject_id"] == encoded.ids[3]


@pytest.mark.parametrize(
    "changes,reasons",
    [
        ({"subject": "The"}, [FIRST]),
        ({"subject": "The capital"}, [FIRST]),
        ({"subject": "is"}, ["the last token is the subject"]),
        ({"top": " France"}, ["the model's top guess is not the target"]),
        ({"subject": "Fran"}, ["the subject begins or ends inside a token"]),
        (
            {"subject": "The", "top": " of"},
            [FIRST, "the model's top guess is not the target"],
        ),
    ],
)
def test_a_bad_prompt_is_rejected_with_every_reason(tokenizer, changes, reasons):
    row, _ = curated(tokenizer, **changes)
    assert not row["accepted"] and row["reason"].split("; ") == reasons


@pytest.mark.parametrize(
    ("top", "hint"),
    [
        ("\u0120Paris", ": did you mean ' Paris'?"),
        ("\u2581Par", ": did you mean ' Paris'?"),
        ("\u0120France", ""),
        ("\u0120", ""),
        ("\u0120Parisian", ""),
    ],
)
def test_a_target_that_lacks_its_space_is_asked_about(tokenizer, top, hint):
    row, _ = curated(tokenizer, target="Paris", top=" France", top_str=top)
    assert row["reason"] == f"the model's top guess is not the target{hint}"
    assert "did you" not in curated(tokenizer, target=" Paris", top=" France", top_str=top)[0]["reason"]


def test_a_target_that_the_model_only_begins_is_accepted_where_its_first_token_is_enough(tokenizer):
    target = " Paris of course"
    row, _ = curated(tokenizer, target=target, completes=False)
    assert row["target_n_tokens"] == len(tokenizer.encode(target).ids) > 1 and row["completes"] is False
    assert (
        not row["accepted"]
        and "does not complete the target that it begins (prompts.whole_target)" in row["reason"]
    )
    assert curated(tokenizer, target=target, completes=False, whole=False)[0]["accepted"]
    assert curated(tokenizer, target=target, completes=True)[0]["accepted"]


def test_occurrences_do_not_overlap():
    assert occurrences("no no no no no", "no no") == [0, 6]
    prompt = {"text": "no no no no no", "subject": "no no", "occurrence": 2}
    assert subject_span(prompt, [(0, 2), (2, 5), (5, 8), (8, 11), (11, 14)]) == (2, 3)


def test_named_completions_are_the_first_tokens_of_each_once(tokenizer):
    encoded = tokenizer.encode(FRANCE["text"])
    prompt = FRANCE | {"completions": "capitals"}
    row = curate(
        prompt, "semantic", encoded.ids, encoded.offsets, [7], 0.5, 0.5, True, 7, "x", [9, 7, 9]
    ).as_row()
    assert row["completions"] == "capitals" and row["completion_ids"] == "7 9"
    plain, _ = curated(tokenizer)
    assert plain["completions"] == plain["completion_ids"] == ""


def test_a_pair_is_named_where_there_is_one(tokenizer):
    assert curated(tokenizer, pair="france-near")[0]["pair"] == "france-near"
    assert curated(tokenizer)[0]["pair"] == ""


def test_a_fact_is_named_or_the_prompts_own(tokenizer):
    assert curated(tokenizer, fact="france-capital")[0]["fact"] == "france-capital"
    assert curated(tokenizer)[0]["fact"] == FRANCE["id"]


def test_a_passage_is_kept_as_it_is():
    row = curate(
        {"id": "p", "text": "one two"}, "passages", [4, 5], [(0, 3), (3, 7)], [], None, None, None, 9, "x"
    ).as_row()
    assert row["accepted"] and row["reason"] == "" and row["subject"] == row["target"] == ""
    assert row["subject_position"] == row["target_id"] == -1 and row["p_target"] is None


def test_a_text_is_put_before_prompts_that_begin_with_their_subject(tokenizer):
    def encode(text):
        encoded = tokenizer.encode(text)
        return encoded.ids, encoded.offsets

    first = {"id": "f", "text": "France is France", "subject": "France", "target": " Paris"}
    assert (
        begun(FRANCE, encode, "The ") is FRANCE
        and begun(first | {"occurrence": 1}, encode, "")["text"][0] == "F"
    )
    moved = begun(first | {"occurrence": 1}, encode, "The capital of France is ")
    assert moved["text"] == "The capital of France is France is France" and moved["occurrence"] == 2
    assert subject_span(moved, encode(moved["text"])[1])[0] > 3
    assert begun({"id": "p", "text": "France"}, encode, "The ") == {"id": "p", "text": "France"}
