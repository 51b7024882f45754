"""Texts that demand their last word: how they are written, and which a model can use."""

import json
import re
from pathlib import Path

import pytest

from strata.inputs import BadInput, read_yaml
from strata.text.endings import settle
from strata.text.prompt_files import read_prompt_files
from strata.text.prompts import JoinedOtherwise, curate

ROOT = Path(__file__).parents[2]
SCHEMA = read_yaml(ROOT / "workflow/schemas/prompts.schema.yaml")
APPLE = {"id": "a", "text": "End with apple. She ate the", "demands": " apple", "pair": "b"}
BREAD = {"id": "b", "text": "End with bread. She ate the", "demands": " bread", "pair": "a"}
FRANCE = {"id": "a", "text": "The capital of France is", "subject": "France", "target": " Paris"}


def written(folder, *prompts, category="endings"):
    """What a file of these prompts is read as."""
    content = {"category": category, "description": "x", "prompts": prompts}
    (folder / f"{category}.json").write_text(json.dumps(content))
    return read_prompt_files(folder, SCHEMA)


def test_pairs_are_read_whichever_words_they_name(tmp_path):
    # What begins as a demanded word does is another.
    text = "Choose {}, not {}. Of apples she ate the"
    both = [APPLE | {"text": text.format("apple", "bread")}, BREAD | {"text": text.format("bread", "apple")}]
    for prompts in ([APPLE, BREAD], both):
        assert written(tmp_path, *prompts).remarks == []


WRONG = {
    "without a word": (
        [{k: v for k, v in APPLE.items() if k != "demands"}, BREAD],
        "'a': 'demands' is missing",
    ),
    "without a pair": ([{k: v for k, v in APPLE.items() if k != "pair"}, BREAD], "'pair' is missing"),
    "with two words": ([APPLE | {"demands": " red apple"}, BREAD], "demands: ' red apple'.*the word that"),
    "with a subject": ([APPLE | {"subject": "She", "target": " x"}, BREAD], "an ending has no subject"),
    "with a fact": ([APPLE | {"fact": "x"}, BREAD], "'target'"),
    "one of a pair": ([APPLE], "pair: 'b' is no prompt"),
    "a pair of three": ([APPLE, BREAD, APPLE | {"id": "c"}], "'b' is of another pair already"),
    "one word for both": ([APPLE, BREAD | {"demands": " apple"}], "'apple', as its pair does"),
    "a word not named": (
        [APPLE | {"demands": " pear"}, BREAD],
        "prompt 'a': demands: 'pear' is no word of its text",
    ),
    "a part of a word": (
        [APPLE | {"text": "End with apples. She ate the"}, BREAD],
        "demands: 'apple' is no word of its text",
    ),
    "nothing on the way": (
        [APPLE | {"text": "End with apple"}, BREAD | {"text": "End with bread"}],
        "nothing follows 'apple' in its text",
    ),
    "another way": (
        [APPLE, BREAD | {"text": "End with bread. He ate the"}],
        "text: is not that of its pair 'b' with 'apple' and 'bread' in each other's place",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line(case, tmp_path):
    prompts, message = WRONG[case]
    with pytest.raises(BadInput, match=message) as error:
        written(tmp_path, *prompts)
    assert "endings.json: prompt '" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("category", "prompt", "message"),
    [
        ("facts", FRANCE | {"demands": " Paris", "pair": "a"}, "in the category endings alone"),
        ("facts", {"id": "a", "text": "x", "demands": " y", "pair": "b"}, "'subject' is missing"),
        ("facts", {"id": "a", "text": "x"}, "'subject' is missing"),
        ("passages", {"id": "a", "text": "x", "demands": " y", "pair": "b"}, "and no pair"),
        ("passages", {"id": "a", "text": "x", "pair": "b"}, "and no pair"),
        ("passages", FRANCE, "has no subject"),
    ],
)
def test_no_other_category_demands_words(category, prompt, message, tmp_path):
    with pytest.raises(BadInput, match=message):
        written(tmp_path, prompt, category=category)


def test_the_shipped_endings_name_each_demanded_word_once():
    prompts = read_yaml(ROOT / "data/prompts/endings.yaml")["prompts"]
    words = [prompt["demands"] for prompt in prompts]
    assert len(set(words)) == len(words) >= 40


# Which can be used ------------------------------------------------------------------------------


def tokenised(text):
    """Words are tokens, but "pomegranate" is two and "xx" are joined with what follows."""
    words = text.replace("pomegranate", "pome granate").split()
    return [sum(map(ord, word)) for word in words]


def following(text, continuation):
    if text.endswith("xx"):
        raise JoinedOtherwise("joined")
    return tokenised(continuation)


def settled(*prompts):
    ids = [tokenised(prompt["text"]) for prompt in prompts]
    rows = [
        curate(p, "endings", own, [], [], None, None, None, 0, "")
        for p, own in zip(prompts, ids, strict=True)
    ]
    return settle(rows, ids, following)


def pair(text, one, other):
    texts = [text.format(one, other), text.format(other, one)]
    return settled(
        {"id": "z", "text": texts[0], "demands": f" {one}", "pair": "y"},
        {"id": "y", "text": texts[1], "demands": f" {other}", "pair": "z"},
    )


def test_a_pair_of_single_tokens_is_accepted():
    rows = pair("Not {1} but {0} , she ate the", "apple", "bread")
    assert [row.accepted for row in rows] == [True, True] and [row.reason for row in rows] == ["", ""]
    assert [row.demanded_id for row in rows] == tokenised("apple bread")
    assert [row.way_n_tokens for row in rows] == [4, 4]
    assert [row.demands for row in rows] == [" apple", " bread"]
    assert {row.fact for row in rows} == {"y"}  # one unit
    assert {row.target_id for row in rows} == {row.subject_position for row in rows} == {-1}


@pytest.mark.parametrize(
    ("text", "words", "reasons"),
    [
        (
            "Say {0} , she ate the",
            ("pomegranate", "bread"),
            ["is 2 tokens", "its pair z cannot be used: .*is 2"],
        ),
        ("Say {0} , she ate the", ("pomegranate", "pomegranates"), ["is 2 tokens", "is 2 tokens"]),
        ("Say {0} or {1} , she ate xx", ("apple", "bread"), ["own tokens change", "own tokens change"]),
        ("Say {0} , she ate the", ("ab", "ba"), ["are one token", "are one token"]),
        ("Say {0} the", ("apple", "bread"), ["only the last token", "only the last token"]),
    ],
)
def test_what_a_model_cannot_use_is_told(text, words, reasons):
    for row, reason in zip(pair(text, *words), reasons, strict=True):
        assert not row.accepted and re.search(reason, row.reason), row.reason


def test_texts_of_different_lengths_are_told():
    """Where the word stands glued to others, it may be other tokens than behind the text."""
    rows = settled(
        {"id": "z", "text": "Say a-pomegranate , she ate the", "demands": " apple", "pair": "y"},
        {"id": "y", "text": "Say a-bread , she ate the", "demands": " bread", "pair": "z"},
    )
    assert all("different numbers of tokens" in row.reason and not row.accepted for row in rows)


def test_other_prompts_stay_as_they_are():
    row = curate({"id": "p", "text": "one two"}, "passages", [1, 2], [], [], None, None, None, 0, "")
    assert settle([row], [[1, 2]], following) == [row]
    assert (row.demands, row.demanded_id, row.way_n_tokens) == ("", -1, 0)
