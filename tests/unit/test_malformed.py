"""Whatever people write: one line says the file, the entry and field, and what was expected."""

import copy
from collections.abc import Mapping
from functools import cache, reduce
from pathlib import Path

import pytest
from malformed import DRAWN, KEYS, LONG, PROMPTS, SECTIONS, TABLES, TEXTS, WELL

from pipeline.config import check_config, claimed, read_config, read_figures
from pipeline.texts import check_texts
from strata.inputs import BadInput, read_yaml
from strata.text.plain import read_documents
from strata.text.prompt_files import read_prompt_files

ROOT = Path(__file__).parents[2]
TEXT_KEYS = {"text.txt": "text", "tags.conllu": "tagged_text", "counts.tsv": "token_counts"}


@cache
def shipped(name: str) -> Mapping:
    return read_yaml(ROOT / name)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder in which nothing is written yet that is checked before a run, but models are there."""
    (tmp_path / "data/prompts").mkdir(parents=True)
    (tmp_path / "workflow").mkdir()
    for name in ("data/models", "workflow/schemas", "workflow/report"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(file: str, content: str | bytes) -> None:
    if isinstance(content, str):
        content = content.replace(LONG, "x" * (100 * 2**20)).encode()
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_bytes(content)


def refused(check, *arguments) -> str:
    with pytest.raises(BadInput) as error:
        check(*arguments)
    said = str(error.value)
    assert said.isprintable() and len(said) < 600, said
    return said


def check_prompts() -> None:
    read_prompt_files(Path("data/prompts"), shipped("workflow/schemas/prompts.schema.yaml"))


@pytest.mark.parametrize("case", PROMPTS)
def test_prompts(folder, case):
    file, content, expected = PROMPTS[case]
    write(file, content)
    said = refused(check_prompts)
    assert said.startswith(file.removesuffix("s.yaml/x").removesuffix("/fact")) and expected in said
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("case", TEXTS)
def test_texts(folder, case):
    file, content, expected = TEXTS[case]
    write(file, content)
    name = file.removesuffix("/x")
    section = shipped("config.yaml")["models"]["organism"] | {TEXT_KEYS[name]: name}

    def check() -> None:
        check_texts({"organism": section})
        list(read_documents(name))  # what is not at its beginning, the job finds

    said = refused(check)
    assert name in said and expected in said


@pytest.mark.parametrize("case", TABLES)
def test_tables_of_figures_and_of_findings(folder, case):
    file, content, expected = TABLES[case]
    write(file, content)
    check = read_figures if file == DRAWN else claimed
    said = refused(check, Path("workflow"), shipped("config.yaml"))
    assert said.startswith(f"{file}: ") and expected in said


@pytest.mark.parametrize("case", SECTIONS)
def test_files_of_configuration(folder, case):
    content, expected = SECTIONS[case]
    write("config.yaml", content)
    schema = shipped("workflow/schemas/config.schema.yaml")
    said = refused(lambda: check_config(read_config(folder), schema))
    assert said.startswith("config.yaml: ") and expected in said


@pytest.mark.parametrize(("section", "key", "value", "expected"), KEYS)
def test_keys_of_the_configuration(folder, section, key, value, expected):
    config = copy.deepcopy(shipped("config.yaml"))
    reduce(dict.__getitem__, filter(None, section.split(".")), config)[key] = value
    said = refused(check_config, config, shipped("workflow/schemas/config.schema.yaml"))
    assert said.startswith("config.yaml: ") and expected in said


def test_what_is_written_well_passes(folder):
    """What is refused above is refused for what is wrong with it."""
    config = shipped("config.yaml")
    for file, content in WELL.items():
        write(file, content)
    check_prompts()
    check_texts({"organism": config["models"]["organism"] | {key: file for file, key in TEXT_KEYS.items()}})
    assert len(read_figures(Path("workflow"), config)) == 1
    assert set(claimed(Path("workflow"), config)["traces"]["findings"]) == {"x"}
    write("config.yaml", (ROOT / "config.yaml").read_bytes())
    check_config(read_config(folder), shipped("workflow/schemas/config.schema.yaml"))


def test_anchors_that_stand_for_little_are_no_trouble(folder):
    write("x.yaml", "a: &a [1, 2]\n" + "".join(f"b{n}: [*a, *a]\n" for n in range(1000)))
    assert read_yaml("x.yaml")["b999"] == [[1, 2], [1, 2]]
