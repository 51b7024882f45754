"""Whatever stands in a file that people write, its loader gives a value or one line of BadInput."""

import copy
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed import COUNTS, DRAWN, FACTS, FOUND, GOOD, LAMA, REWRITE, ROSE, WELL, WORD

from pipeline.config import check_config, claimed, read_config, read_figures
from pipeline.overrides import parse_overrides
from strata.inputs import BadInput, read_yaml
from strata.text.conllu import check_conllu
from strata.text.plain import check_counts, check_text, read_documents
from strata.text.prompt_files import read_prompt_files

ROOT = Path(__file__).parents[2]


def fuzzed(n: int) -> Callable:
    """As many examples, always the same."""
    health = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(
        max_examples=n, derandomize=True, database=None, deadline=None, suppress_health_check=health
    )


@cache
def shipped(name: str) -> Mapping:
    return read_yaml(ROOT / name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fuzzed")
    (folder / "data/prompts").mkdir(parents=True)
    (folder / "workflow").mkdir()
    for name in ("data/models", "workflow/schemas", "workflow/report"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)


def value_or_refusal(read: Callable, *arguments: Any) -> Any:
    """What is read; None where it is refused, which has to be in one line."""
    try:
        return read(*arguments)
    except BadInput as error:
        assert str(error).isprintable() and 10 < len(str(error)) < 600
        return None


# What may stand in a file -------------------------------------------------------------------

PIECES = [
    "\0",
    "\ufeff",
    "\ud800",
    "\r",
    "\n",
    "\t",
    '"',
    "'",
    "\\",
    "\x1b[31m",
    "\u202e",
    "\u2028",
    "../",
    "{}",
    "[X]",
    "[Y]",
]
texts = st.one_of(st.text(max_size=12), st.sampled_from([*PIECES, "", " ", "no", "1e3", "9" * 30, "x" * 200]))
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), texts, st.sampled_from([0, 1, -1, 10**30, 2.0])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """Where something stands in a value: keys and indices."""
    found = [path]
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        found += places(inner, (*path, key))
    return found


@st.composite
def changed(draw, value: Any) -> Any:
    """A value with another in some places, without some, or with a key more."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 2))):
        where = draw(st.sampled_from([path for path in places(value) if path] or [("x",)]))
        *path, last = where
        inner = value
        for key in path:
            inner = inner[key]
        match draw(st.sampled_from(["other", "other", "gone", "more"])):
            case "other":
                inner[last] = draw(values)
            case "gone":
                del inner[last]
            case "more" if isinstance(inner, dict):
                inner[draw(texts)] = draw(values)
        if not value:
            break
    return value


@st.composite
def garbled(draw, text: str) -> bytes:
    """A file's bytes with stretches of them gone, said twice, or in other places."""
    content = text.encode()
    for _ in range(draw(st.integers(1, 3))):
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(content))] * 2)))
        end = min(end, start + draw(st.sampled_from([1, 5, 40])))
        put = draw(
            st.one_of(
                st.just(b""),
                st.binary(max_size=3),
                st.just(content[start:end] * 2),
                st.sampled_from(PIECES).map(lambda piece: piece.encode(errors="surrogatepass")),
            )
        )
        content = content[:start] + put + content[end:]
    return content


# Prompts ------------------------------------------------------------------------------------

CATEGORY = {
    "category": "facts",
    "description": "x",
    "completion_sets": {"towns": [" Lima", " Rome"]},
    "prompts": [
        GOOD | {"completions": "towns", "fact": "capital"},
        GOOD | {"id": "b", "text": "To Peru", "occurrence": 1},
    ],
}
ENTRIES = {
    "ours": [GOOD, GOOD | {"id": "b", "text": "Peru, Peru is", "occurrence": 2, "pair": "peru", "note": "x"}],
    "known": [
        ROSE | {"template": "{} is in"},
        ROSE | {"known_id": 8, "attribute": "Rome", "relation_id": "P36"},
    ],
    "rewrites": [{"case_id": 1, "requested_rewrite": REWRITE | {"relation_id": "P103"}}],
    "templates": [LAMA, LAMA | {"sub_label": "Iraq", "obj_label": "Baghdad", "predicate_id": "P36"}],
}
TEMPLATES = {
    "category": "facts",
    "description": "x",
    "templates": ["[X] has [Y]", "In [X] is"],
    "pairs": [LAMA],
}
READ = [".yaml", ".json", ".jsonl", ".ndjson", ".csv", ".tsv"]


def read_prompts(ending: str, content: bytes) -> None:
    """Read one file of prompts; what is taken of it may go into names of files, and into tables."""
    for other in Path("data/prompts").iterdir():
        other.unlink()
    Path(f"{FACTS}{ending}").write_bytes(content)
    schema = shipped("workflow/schemas/prompts.schema.yaml")
    read = value_or_refusal(read_prompt_files, Path("data/prompts"), schema)
    for category in read.categories.values() if read else ():
        assert category["category"] == "facts"
        for prompt in category["prompts"]:
            assert re.fullmatch("[a-z0-9][a-z0-9-]{0,99}", prompt["id"]) and prompt["text"].encode()
            assert "subject" not in prompt or prompt["subject"] in prompt["text"]


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def as_lines(value: Any) -> bytes:
    return b"\n".join(map(as_json, value if isinstance(value, list) else [value]))


def as_yaml(value: Any) -> bytes:
    return yaml.safe_dump(value, allow_unicode=True).encode(errors="surrogatepass")


@pytest.mark.long
@fuzzed(120)
@given(changed(CATEGORY) | changed(TEMPLATES), st.sampled_from([(".json", as_json), (".yaml", as_yaml)]))
def test_categories(content, form):
    ending, write = form
    read_prompts(ending, write(content))


@fuzzed(200)
@given(
    st.sampled_from(list(ENTRIES.values())).flatmap(changed),
    st.sampled_from([(".json", as_json), (".jsonl", as_lines), (".ndjson", as_lines)]),
)
def test_entries(content, form):
    ending, write = form
    read_prompts(ending, write(content))


@fuzzed(200)
@given(
    st.lists(st.lists(texts | st.sampled_from([*GOOD.values(), *LAMA]), min_size=1, max_size=4), max_size=3),
    st.sampled_from([".csv", ".tsv"]),
    st.sampled_from(
        ["id,text,subject,target,occurrence\n", "sub_label,obj_label,template\n", "text,id\n", ""]
    ),
)
def test_tables(rows, ending, header):
    separator = {".csv": ",", ".tsv": "\t"}[ending]
    content = header.replace(",", separator) + "\n".join(map(separator.join, rows))
    read_prompts(ending, content.encode(errors="surrogatepass"))


WRITTEN = {
    ".yaml": [as_yaml(CATEGORY).decode(), as_yaml(TEMPLATES).decode(), "a: &a [1]\nb: *a\nc: {<<: *a}\n"],
    ".json": [as_json(each).decode() for each in (CATEGORY, *ENTRIES.values())],
    ".jsonl": [as_lines(each).decode() for each in ENTRIES.values()],
    ".csv": [
        'id,text,subject,target,occurrence\na,"Peru, Peru",Peru, x,2\n',
        "sub_label,obj_label,template\nA,B,[X]\n",
    ],
}


@fuzzed(250)
@given(
    st.sampled_from([(ending, text) for ending, each in WRITTEN.items() for text in each]).flatmap(
        lambda pair: st.tuples(st.just(pair[0]), garbled(pair[1]))
    )
)
def test_files_of_prompts_with_other_bytes(file):
    read_prompts(*file)


@fuzzed(200)
@given(
    st.sampled_from(READ),
    st.binary(max_size=40) | st.text(alphabet='[]{}",:&*!|>-?%@#\n\t a1', max_size=25).map(str.encode),
)
def test_any_bytes_as_prompts(ending, content):
    read_prompts(ending, content)


# Texts --------------------------------------------------------------------------------------

NONE = "_\t_\t_\t_\t_\t_\t_\t_"
SENTENCES = f"""\
{WORD}2	now	_	ADV	_	X=Y	1	advmod:x	1:advmod	SpaceAfter=No

# text
1-2	du	{NONE}
{WORD}2	b	b	X	_	_	1	det	_	_
2.1	c	{NONE}
"""


@fuzzed(300)
@given(garbled(SENTENCES) | st.binary(max_size=40))
def test_tagged_text(content):
    Path("tags.conllu").write_bytes(content)
    value_or_refusal(check_conllu, "tags.conllu")


@fuzzed(200)
@given(
    st.sampled_from(["id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc"]),
    texts
    | st.sampled_from(["1-9", "1.1", "2-1", "9" * 5000, "-1", "_", "\u0663", "a=b|c", "1:a|2:b", "=", "|"]),
)
def test_columns_of_tagged_text(column, text):
    columns = WORD.rstrip("\n").split("\t")
    names = ["id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc"]
    columns[names.index(column)] = text
    Path("tags.conllu").write_bytes("\t".join(columns).encode(errors="surrogatepass"))
    value_or_refusal(check_conllu, "tags.conllu")


@fuzzed(200)
@given(garbled("one\n\ntwo\n\nthree\n\n") | st.binary(max_size=60))
def test_plain_text(content):
    Path("text.txt").write_bytes(content)
    checked = value_or_refusal(lambda: check_text("text.txt") or True)
    read = value_or_refusal(lambda: list(read_documents("text.txt")))
    assert bool(checked) == bool(read), "what a small file is refused for, is said at the start"


@fuzzed(200)
@given(garbled(COUNTS + "0\t3\n1\t0\n17\t5.0\n") | garbled('token_id\ttoken_str\tcount\n3\t"""\n"\t4\n'))
def test_token_counts(content):
    Path("counts.tsv").write_bytes(content)
    value_or_refusal(check_counts, "counts.tsv")


# Tables and configuration -------------------------------------------------------------------


@fuzzed(75)
@given(changed(json.loads(WELL[DRAWN])))
def test_the_table_of_figures(content):
    Path(DRAWN).write_bytes(as_yaml(content))
    for figure in value_or_refusal(read_figures, Path("workflow"), shipped("config.yaml")) or ():
        assert Path(figure.png).resolve().is_relative_to(Path("results").resolve())


@fuzzed(75)
@given(changed(json.loads(WELL[FOUND])))
def test_the_table_of_findings(content):
    Path(FOUND).write_bytes(as_yaml(content))
    value_or_refusal(claimed, Path("workflow"), shipped("config.yaml"))


@fuzzed(100)
@given(changed(dict(shipped("config.yaml"))), st.booleans())
def test_the_configuration(content, is_given):
    """In the file, or on the command line, where all values are text."""
    schema, config = shipped("workflow/schemas/config.schema.yaml"), content

    def check() -> Mapping:
        if is_given:
            parse_overrides(config, shipped("config.yaml"), schema)
        check_config(config, schema)
        return config

    value = value_or_refusal(check)
    for name in {**value["models"], **value["organism"]["variants"]} if value else ():
        assert Path("results", name).resolve().parent == Path("results").resolve()


@fuzzed(75)
@given(
    garbled((ROOT / "config.yaml").read_text()[-6000:]) | garbled("a: &a {b: [*c, !!x y]}\n? [1]\n: |\n  x\n")
)
def test_the_file_of_the_configuration(content):
    Path("config.yaml").write_bytes(content)
    value_or_refusal(read_config, Path())
