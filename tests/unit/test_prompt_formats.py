"""Prompts in every format that is read: what is made of them, and what is refused."""

import csv
import io
import json
from pathlib import Path

import pytest

from strata.inputs import BadInput, read_yaml
from strata.text.prompt_files import read_prompt_files
from strata.text.prompt_formats import COLUMNS, read_prompt_file

SCHEMA = read_yaml(Path(__file__).parents[2] / "workflow/schemas/prompts.schema.yaml")
PERU = {
    "id": "peru",
    "text": "The capital of Peru is",
    "subject": "Peru",
    "target": " Lima",
    "fact": "capital-peru",
}
NO = {
    "id": "no",
    "text": "No, said no one, no",
    "subject": "no",
    "target": " one",
    "occurrence": 2,
    "note": "159",
}
OURS = [PERU, NO]


def table(rows: list[dict], separator: str) -> str:
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def json_lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


CATEGORY = {"category": "mine", "description": "Some.", "prompts": OURS}
WRITTEN = {
    "mine.yaml": json.dumps(CATEGORY, indent=1),
    "mine.json": json.dumps(OURS, indent=1),
    "mine.jsonl": json_lines(OURS),
    "mine.ndjson": json_lines(OURS),
    "mine.csv": table(OURS, ","),
    "mine.tsv": table(OURS, "\t"),
}


def prompts_of(folder: Path, name: str, content: str | bytes | list, remarks=()) -> list[dict]:
    """What a file of data/prompts holds, as it is checked and as it is read where prompts are curated."""
    if isinstance(content, list):
        content = json.dumps(content)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read_prompt_files(folder, SCHEMA)
    assert list(found.categories) == [str(folder / name)]
    assert [remark.removeprefix(f"{folder}/") for remark in found.remarks] == list(remarks)
    category = found.categories[str(folder / name)]
    assert category == read_prompt_file(str(folder / name)).content
    assert category["category"] == Path(name).stem
    return category["prompts"]


def refused(folder: Path, name: str, content: str | bytes | list) -> str:
    with pytest.raises(BadInput) as error:
        prompts_of(folder, name, content)
    said = str(error.value)
    assert said.startswith(str(folder / name)) and "\n" not in said
    return said.removeprefix(f"{folder / name}: ")


# Our columns --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITTEN)
def test_every_format_says_the_same(tmp_path, name):
    assert prompts_of(tmp_path, name, WRITTEN[name]) == OURS


@pytest.mark.parametrize("name", WRITTEN)
def test_line_ends_and_a_byte_order_mark_change_nothing(tmp_path, name):
    other = WRITTEN[name].replace("\n", "\r\n").encode("utf-8-sig")
    assert prompts_of(tmp_path, name, other) == OURS


@pytest.mark.parametrize("name", WRITTEN)
def test_bytes_that_are_not_utf8_are_found(tmp_path, name):
    latin = WRITTEN[name].replace("Peru is", "P\u00e9ru is").encode("latin-1")
    line = latin[: latin.index(b"\xe9")].count(b"\n") + 1
    said = refused(tmp_path, name, latin)
    assert said.startswith(f"line {line}, byte ") and "(0xe9): not UTF-8" in said


def test_the_columns_are_those_of_the_schema():
    assert set(COLUMNS) == set(SCHEMA["properties"]["prompts"]["items"]["properties"])


@pytest.mark.parametrize(("name", "separator"), [("mine.csv", ","), ("mine.tsv", "\t")])
def test_cells_of_a_table_are_texts_with_their_spaces_quotes_and_line_ends(tmp_path, name, separator):
    odd = PERU | {"text": f'He said{separator} "no"\nto Peru,\n', "target": ' "'}
    assert prompts_of(tmp_path, name, table([odd], separator)) == [odd]


def test_what_looks_like_a_number_is_text_in_a_table(tmp_path):
    text = "id,text,subject,target,note\n159,3.14 159,159,no,1789-07-14\n"
    (prompt,) = prompts_of(tmp_path, "digits.csv", text)
    assert prompt == {"id": "159", "text": "3.14 159", "subject": "159", "target": "no", "note": "1789-07-14"}


def test_a_line_separator_inside_a_json_line_is_text(tmp_path):
    odd = PERU | {"text": "The capital\u2028of Peru is"}
    assert prompts_of(tmp_path, "mine.jsonl", json_lines([odd, NO])) == [odd, NO]


def test_what_a_table_was_exported_to_is_read(tmp_path):
    """Where a column has gaps, pandas writes null, and 2.0 for 2."""
    rows = [PERU | {"occurrence": None, "note": None}, NO | {"occurrence": 2.0, "fact": None}]
    read = prompts_of(tmp_path, "mine.json", rows)
    assert read == OURS and type(read[1]["occurrence"]) is int
    (tmp_path / "mine.json").unlink()
    text = "id,text,subject,target,occurrence\nno,no and no x,no,one,2.0\n"
    assert prompts_of(tmp_path, "mine.csv", text)[0]["occurrence"] == 2


def test_passages_have_texts_alone(tmp_path):
    text = "id,text\na,One passage.\n\nb,Another.\n"
    assert prompts_of(tmp_path, "passages.csv", text) == [
        {"id": "a", "text": "One passage."},
        {"id": "b", "text": "Another."},
    ]


TABLE_HEAD = "id,text,subject,target,occurrence\n"
REFUSED = {
    "unknown column": (
        "x.csv",
        "id,text,subjekt,target\n",
        "line 1: unknown column 'subjekt' (expected: a line",
    ),
    "no header": (
        "x.csv",
        "peru,Peru is,Peru,x\n",
        "line 1: unknown column 'peru' (expected: a line that names",
    ),
    "semicolons": (
        "x.csv",
        "id;text;subject\n",
        "line 1: unknown column 'id;text;subject' (expected: a line that names",
    ),
    "column twice": ("x.csv", "id,text,text\n", "line 1: column 'text' occurs 2 times"),
    "cell missing": (
        "x.csv",
        TABLE_HEAD + "a,Peru is,Peru, x\n",
        "line 2: 4 cells (expected: 5, as in the header)",
    ),
    "cell too many": ("x.csv", TABLE_HEAD + "a,One, two is,One, x,\n", "line 2: 6 cells (expected: 5"),
    "open quote": ("x.csv", TABLE_HEAD + 'a,"Peru is,Peru,x,\n', "line 2: not CSV: unexpected end of data"),
    "empty cell": ("x.csv", TABLE_HEAD + "a,Peru is,Peru,,\n", "prompt 'a': 'target' is missing"),
    "no id": ("x.csv", TABLE_HEAD + ",Peru is,Peru, x,\n", "prompt 'number 1': 'id' is missing"),
    "occurrence": (
        "x.csv",
        TABLE_HEAD + "a,Peru is,Peru, x,two\n",
        "prompt 'a': occurrence: 'two' is not of type",
    ),
    "subject twice": (
        "x.csv",
        TABLE_HEAD + "a,no or no is,no, x,\n",
        "prompt 'a': subject: 'no' occurs 2 times",
    ),
    "header alone": ("x.csv", TABLE_HEAD, "prompts: [] should be non-empty (expected: at least one prompt)"),
    "empty lines": ("x.jsonl", "\n\n", "prompts: [] should be non-empty (expected: at least one prompt)"),
    "empty json": ("x.json", "", "line 1, character 1: not JSON: Expecting value"),
    "open json": ("x.json", '[{"id": "a"},\n{"id"', "line 2, character 6: not JSON: Expecting ':' delimiter"),
    "bad json line": ("x.jsonl", '{}\n{"id": a}\n', "line 2, character 8: not JSON: Expecting value"),
    "json lines in json": (
        "x.json",
        json_lines(OURS),
        "line 2, character 1: not JSON: Extra data (JSON Lines are",
    ),
    "json in json lines": (
        "x.jsonl",
        '[\n{"id": "a"}\n]\n',
        "line 1, character 1: not JSON: Expecting value",
    ),
    "key twice": ("x.jsonl", '{"id": "a", "id": "b"}\n', 'line 1: key \'id\' occurs twice in {"id": "b"}'),
    "unknown key": (
        "x.jsonl",
        json_lines([PERU | {"targt": "x"}]),
        "prompt 'peru': unknown key 'targt'; did",
    ),
    "number": (
        "x.json",
        [PERU | {"target": 159}],
        "prompt 'peru': target: 159 is a number (expected: text, in quotes",
    ),
    "no": ("x.json", [PERU | {"subject": False}], "prompt 'peru': subject: False is what"),
    "not an object": (
        "x.json",
        [PERU, "x"],
        "prompt 2: 'x' is not of type 'object' (expected: a prompt: id, text",
    ),
    "second of two": (
        "x.jsonl",
        json_lines([PERU, NO | {"target": ""}]),
        "prompt 'no': target: '' does not match",
    ),
    "scalar": ("x.json", "5", "5 (expected: a list of entries)"),
    "other category": (
        "x.json",
        json.dumps(CATEGORY),
        "category: 'mine' is not the file's name (expected: 'x')",
    ),
    "twice": (
        "x.jsonl",
        json_lines([PERU, PERU | {"id": "b"}]),
        "prompt 'b': is 'peru' again: the same text, sub",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_one_line(tmp_path, case):
    name, content, expected = REFUSED[case]
    assert refused(tmp_path, name, content).startswith(expected)


@pytest.mark.parametrize("field", ["id", "text", "subject", "target", "completions", "pair", "fact", "note"])
@pytest.mark.parametrize(
    ("written", "expected"), [("no", "in quotes, as 'no'"), ("159", "'159'"), ("1789-07-14", "'1789-07-14'")]
)
def test_a_text_that_yaml_takes_for_something_else_is_to_be_quoted(tmp_path, field, written, expected):
    fields = {"id": "a", "text": "One is", "subject": "One", "target": "two"}
    lines = [f"{key}: {value}" for key, value in fields.items() if key != field] + [f"{field}: {written}"]
    text = "category: mine\ndescription: x\nprompts:\n- {" + ", ".join(lines) + "}\n"
    said = refused(tmp_path, "mine.yaml", text)
    assert said.startswith("prompt ") and f": {field}: " in said and "in quotes" in said and expected in said


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CounterFact.json", "counterfact.json"),
        ("my-facts 2.csv", "my_facts_2.csv"),
        ("1000.jsonl", "prompts_1000.jsonl"),
        ("\u6771.tsv", "prompts.tsv"),
        ("Mine.yaml", "mine.yaml"),
    ],
)
def test_a_name_that_is_no_categorys_is_refused(tmp_path, name, expected):
    said = refused(tmp_path, name, "")
    assert said.startswith("its name is that of its category") and said.endswith(f"(expected: {expected})")


def test_a_category_has_one_file(tmp_path):
    (tmp_path / "mine.csv").write_text(WRITTEN["mine.csv"])
    said = refused(tmp_path, "mine.json", "[]")
    assert said == f"{tmp_path}/mine.csv is of this category already (expected: another name)"


def test_prompts_that_two_files_share_are_said(tmp_path):
    (tmp_path / "a.jsonl").write_text(json_lines(OURS))
    (tmp_path / "b.jsonl").write_text(json_lines([one | {"id": f"{one['id']}-b"} for one in OURS]))
    (tmp_path / "c.jsonl").write_text(json_lines([PERU | {"id": "c"}]))
    assert read_prompt_files(tmp_path, SCHEMA).remarks == [
        f"{tmp_path}/b.jsonl: 2 prompts are in {tmp_path}/a.jsonl too (first: 'peru' is 'peru-b')",
        f"{tmp_path}/c.jsonl: 1 prompt is in {tmp_path}/a.jsonl too (first: 'peru' is 'c')",
    ]
