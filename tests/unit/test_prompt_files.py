"""The quick check of many prompts against their schema agrees with the slow one."""

import copy
import random
from pathlib import Path

import fastjsonschema
from jsonschema import Draft7Validator

from strata.inputs import read_yaml

ROOT = Path(__file__).parents[2]
SCHEMA = read_yaml(ROOT / "workflow/schemas/prompts.schema.yaml")
ODD = [
    "",
    " ",
    "x ",
    "x\n",
    "a-1",
    "A",
    "a\n",
    "all",
    "passages",
    None,
    True,
    0,
    1,
    1.0,
    1.5,
    [],
    {},
    [" x"],
    "x" * 200,
]


def changed(content: dict, draw: random.Random) -> dict:
    """A category with one thing removed, replaced or added."""
    content = copy.deepcopy(content)
    place = draw.choice([content, content["completion_sets"], *content["prompts"]])
    keys = [*place, "other", "occurrence", "pair", "completions", "fact"]
    key = draw.choice(keys)
    if key in place and draw.random() < 0.4:
        del place[key]
    else:
        place[key] = draw.choice(ODD)
    return content


def test_the_quick_check_agrees_with_the_slow_one():
    prompt = {"id": "a", "text": "One is", "subject": "One", "target": " two", "completions": "s"}
    facts = {
        "category": "facts",
        "description": "x",
        "completion_sets": {"s": [" two"]},
        "prompts": [prompt, prompt | {"id": "b"}],
    }
    passages = facts | {
        "category": "passages",
        "prompts": [{"id": "a", "text": "One."}, {"id": "b", "text": "x"}],
    }
    quick, slow = fastjsonschema.compile(SCHEMA), Draft7Validator(SCHEMA)
    draw, verdicts = random.Random(0), []
    for _ in range(1000):
        content = changed(draw.choice([facts, passages]), draw)
        try:
            quick(content)
            fits = True
        except fastjsonschema.JsonSchemaValueException:
            fits = False
        assert fits == slow.is_valid(content), content
        verdicts.append(fits)
    assert 100 < sum(verdicts) < 900
