"""The quick check of prompts against their schema, and what is documented of their files."""

import copy
import random
import re
from pathlib import Path

import fastjsonschema
from jsonschema import Draft7Validator

from strata.inputs import read_yaml
from strata.text.prompt_files import read_prompt_files

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
    "endings",
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
    keys = [*place, "other", "occurrence", "pair", "completions", "fact", "demands"]
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
    ending = {"id": "a", "text": "One is", "demands": " two", "pair": "b"}
    endings = facts | {"category": "endings", "prompts": [ending, ending | {"id": "b"}]}
    quick, slow = fastjsonschema.compile(SCHEMA), Draft7Validator(SCHEMA)
    draw, verdicts = random.Random(0), []
    for _ in range(1000):
        content = changed(draw.choice([facts, passages, endings]), draw)
        try:
            quick(content)
            fits = True
        except fastjsonschema.JsonSchemaValueException:
            fits = False
        assert fits == slow.is_valid(content), content
        verdicts.append(fits)
    assert 100 < sum(verdicts) < 900


def test_the_examples_of_the_documentation_are_read(tmp_path):
    page = (ROOT / "docs/prompts.md").read_text()
    examples = dict(re.findall(r"^`(\w+\.\w+)`:\n\n```\w+\n(.*?)^```", page, re.M | re.S))
    for name, text in examples.items():
        (tmp_path / name).write_text(text)
    read = read_prompt_files(tmp_path, SCHEMA)
    assert read.remarks == []
    numbers = {Path(file).name: len(content["prompts"]) for file, content in read.categories.items()}
    assert numbers == {
        "borders.jsonl": 2,
        "capitals.yaml": 1,
        "counterfact.json": 1,
        "currencies.csv": 2,
        "known_1000.json": 1,
        "languages.jsonl": 2,
        "seats.yaml": 4,
    }


def test_the_fields_of_the_documentation_are_those_of_the_schema():
    page = (ROOT / "docs/prompts.md").read_text()
    table = page.split("| field | meaning |")[1].split("\n\n")[0]
    fields = SCHEMA["properties"]["prompts"]["items"]["properties"]
    assert set(re.findall(r"^\| `(\w+)`", table, re.M)) == set(fields)
