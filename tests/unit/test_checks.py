"""What people write is checked: one line that names file, entry and field."""

import copy
from pathlib import Path

import pytest

from pipeline.config import check_config, check_figures, read_config
from pipeline.overrides import parse_overrides
from strata.inputs import BadInput, read_yaml
from strata.model.source import is_folder_source
from strata.text.prompt_files import read_prompt_files

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "workflow/schemas"


@pytest.fixture(scope="module")
def schemas():
    return {name: read_yaml(SCHEMAS / f"{name}.schema.yaml") for name in ("config", "prompts")}


@pytest.fixture
def config(monkeypatch):
    monkeypatch.chdir(ROOT)
    return copy.deepcopy(read_yaml("config.yaml"))


def closed(schema: dict, path="") -> list[str]:
    """Objects of a schema that would let an unknown key pass."""
    found = []
    if schema.get("type") == "object" and "additionalProperties" not in schema:
        found.append(path)
    for key, inner in schema.get("properties", {}).items():
        found += closed(inner, f"{path}.{key}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            found += closed(schema[key], f"{path}.{key}")
    return found


def test_the_shipped_files_are_right(schemas, config):
    check_config(config, schemas["config"])
    prompts = read_prompt_files(Path("data/prompts"), schemas["prompts"])
    check_figures(config, prompts.categories)
    assert prompts.named == prompts.remarks == []


@pytest.mark.parametrize("name", ["all", "semantic"])
def test_a_group_of_categories_has_a_name_of_its_own(schemas, config, name):
    config["hidden"]["pooled"] = {name: ["non_english", "plain_english"]}
    prompts = read_prompt_files(Path("data/prompts"), schemas["prompts"])
    with pytest.raises(BadInput, match=f"hidden.pooled: '{name}' names prompts already"):
        check_figures(config, prompts.categories)


def test_no_category_is_facts_and_rote(schemas, config):
    config["attention"]["contrast"]["rote"] = ["semantic"]
    with pytest.raises(BadInput, match="attention.contrast: 'semantic' is both"):
        check_config(config, schemas["config"])


def test_wordings_of_one_fact_have_one_answer():
    """And a pair is of one fact."""
    prompts = [p for path in Path("data/prompts").glob("*.yaml") for p in read_yaml(path)["prompts"]]
    fact = {p["id"]: p.get("fact", p["id"]) for p in prompts}
    answers = {}
    for prompt in prompts:
        answer = answers.setdefault(fact[prompt["id"]], prompt.get("target"))
        assert answer == prompt.get("target"), prompt["id"]
        if "demands" not in prompt:
            assert fact[prompt["id"]] == fact[prompt.get("pair", prompt["id"])], prompt["id"]
    assert len(prompts) - len(answers) > 18


@pytest.mark.parametrize("category", ["semantic", "invented"])
def test_every_prompt_of_a_fact_names_it(category):
    assert all("fact" in prompt for prompt in read_yaml(f"data/prompts/{category}.yaml")["prompts"])


def test_the_schemas_are_closed(schemas):
    assert closed(schemas["config"]) == [] and closed(schemas["prompts"]) == []


def test_every_key_of_the_config_is_explained():
    """A comment stands on every line with a value, or above the block the line is in."""
    bare, explained = [], False
    for line in (ROOT / "config.yaml").read_text().splitlines():
        if not line.strip():
            explained = False
        elif "#" in line:
            explained = True
        elif line.split()[-1].endswith(":") is False and not explained:
            bare.append(line)
    assert bare == []


def refused(config, schemas, **changes) -> str:
    for key, value in changes.items():
        *path, last = key.split("__")
        section = config
        for part in path:
            section = section[part]
        section[last] = value
    with pytest.raises(BadInput) as error:
        check_config(config, schemas["config"])
    message = str(error.value)
    assert "\n" not in message and message.startswith("config.yaml: ")
    return message


@pytest.mark.parametrize(
    "key,value,expected",
    [
        ("trace__samples", True, "trace.samples: True"),
        ("trace__samples", 0, "trace.samples: 0"),
        ("trace__samples", 2.5, "trace.samples: 2.5"),
        ("trace__samples", None, "trace.samples: None"),
        ("trace__noise__absolute", [0.5, -1], "trace.noise.absolute.1: -1"),
        ("trace__noise__relative", [3, 3], "trace.noise.relative: [3, 3]"),
        ("lens__grid__window", [5, 5], "lens.grid.window: [5, 5] is empty"),
        ("lens__grid__window", [5], "lens.grid.window: [5]"),
        ("lens__top_k", "10", "lens.top_k: '10'"),
        ("models__gpt2__dtype", "float64", "models.gpt2.dtype: 'float64'"),
        ("models__gpt2__device", "gpu", "models.gpt2.device: 'gpu'"),
        ("models__gpt2__sorce", "x", "models.gpt2: unknown key 'sorce'; did you mean 'source'?"),
        ("lens__tuned__learning_rate", "2e-2", "lens.tuned.learning_rate: YAML takes 2e-2 for text"),
        ("models__gpt2__revision", 350, "models.gpt2.revision: 350 is a number (expected: text, in quotes"),
        ("run", [350], "run.0: 350 is a number (expected: text, in quotes: '350')"),
        ("run", [False], "run.0: False is what YAML makes of no and the like"),
        ("run", "organism", "run: 'organism'"),
        ("run", [], "run: []"),
        ("run", ["gtp2"], "run: 'gtp2' is not declared under models; did you mean 'gpt2'?"),
        ("models__gpt2__twin", "gtp2", "models.gpt2.twin: 'gtp2' is no other model"),
        ("models__gpt2__twin", "gpt2", "models.gpt2.twin: 'gpt2' is no other model"),
        ("organism__variants__organism__every_depth", 1.5, "organism.variants.organism.every_depth: 1.5"),
        ("organism__variants", {}, "organism.variants"),
        ("organism__recipe__n_heads", 5, "organism.recipe.n_heads: 5 heads do not divide 128 channels"),
        ("models__organism__source", "/no/where", "models.organism.source: no model in folder '/no/where'"),
        ("models__organism__source", "~/no-such-model", "models.organism.source: no model in folder"),
        ("models__organism__source", "data/models/orgnism", "models.organism.source: no model in folder"),
    ],
)
def test_a_wrong_config_is_one_line(config, schemas, key, value, expected):
    assert expected in refused(config, schemas, **{key: value})


def test_a_missing_section_is_named(config, schemas):
    del config["lens"]
    with pytest.raises(BadInput, match="^config.yaml: 'lens' is missing$"):
        check_config(config, schemas["config"])


def test_a_model_that_is_not_run_need_not_be_there(config, schemas):
    config["models"]["gpt2"]["source"] = "/no/where"
    check_config(config, schemas["config"])


@pytest.mark.parametrize(
    ("given", "path", "expected"),
    [
        ("5", "trace.samples", 5),
        ("2e-2", "lens.tuned.learning_rate", 0.02),
        ("true", "trace.shared", True),
        ("null", "models.gpt2.revision", None),
        ("3", "lens.extended.last", 3),
        (["0.5", "2"], "trace.noise.absolute", [0.5, 2]),
        # What may be a text stays one, and what is nothing that is wanted stays as it is, to be refused.
        ("5", "trace.control.prefix", "5"),
        ("350", "models.gpt2.revision", "350"),
        ("null", "trace.control.prefix", "null"),
        ("ten", "trace.samples", "ten"),
        ("2.5", "trace.samples", "2.5"),
        ("yes", "trace.samples", "yes"),
        ("mlp", "lens.extended.last", "mlp"),
        ("1789-14-07", "trace.samples", "1789-14-07"),
        ([["x"]], "trace.noise.absolute", [["x"]]),
    ],
)
def test_strings_of_the_command_line_are_what_the_schema_wants(config, schemas, given, path, expected):
    written = copy.deepcopy(config)
    *sections, key = path.split(".")
    section = config
    for name in sections:
        section = section[name]
    section[key] = given
    others = copy.deepcopy(section)
    parse_overrides(config, written, schemas["config"])
    assert section == others | {key: expected} and type(section[key]) is type(expected)


def test_a_string_of_the_file_is_left_alone(config, schemas):
    config["trace"]["samples"] = "5"
    parse_overrides(config, copy.deepcopy(config), schemas["config"])
    assert "trace.samples: '5'" in refused(config, schemas)


def test_a_folder_without_configuration_is_told_how_to_start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        BadInput, match=r"config.yaml: no such file in .* snakemake --directory /the/pipeline\)"
    ):
        read_config(Path("/the/pipeline"))
    Path("config.yaml").write_text("# nothing\n")
    with pytest.raises(BadInput, match="config.yaml: no sections in it"):
        read_config(Path("/the/pipeline"))


def test_an_empty_lens_is_found_at_the_start(config, schemas, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "params.pt").touch()
    said = refused(config, schemas, models__organism__lenses={"tuned": str(tmp_path)})
    assert said == f"config.yaml: models.organism.lenses.tuned: the file {tmp_path / 'params.pt'} is empty"


@pytest.mark.parametrize(
    "source,folder",
    [
        ("gpt2", False),
        ("openai-community/gpt2", False),
        ("./gpt2", True),
        ("../gpt2", True),
        ("/gpt2", True),
        ("~/gpt2", True),
        ("data/models/gpt2", True),
    ],
)
def test_a_folder_is_told_from_a_hub_id(tmp_path, monkeypatch, source, folder):
    monkeypatch.chdir(tmp_path)
    assert is_folder_source(source) is folder


def write(folder: Path, **files: str) -> None:
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(content)


GOOD = "category: facts\ndescription: x\nprompts:\n- {id: a, text: One two, subject: One, target: ' x'}\n"


@pytest.mark.parametrize(
    "content,expected",
    [
        ("category: facts\ncategory: facts\n", "facts.yaml: line 2: not YAML: key 'category' occurs twice"),
        (GOOD + "- {id: b, id: b}\n", "facts.yaml: line 5: not YAML: key 'id' occurs twice"),
        (GOOD + "- {id: b, text: no, subject: n, target: ' x'}\n", "prompt 'b': text: False"),
        (GOOD + "- {id: b, text: One 2, subject: 2, target: ' x'}\n", "prompt 'b': subject: 2"),
        (GOOD + "- {id: b, text: 'One ', subject: One, target: x}\n", "prompt 'b': text: 'One '"),
        (GOOD + "- {id: b, text: One 2, subject: One, target: ' '}\n", "prompt 'b': target: ' '"),
        (GOOD + "- {id: B, text: One 2, subject: One, target: ' x'}\n", "prompt 'B': id: 'B'"),
        (
            GOOD + "- {id: b, text: One 2, subject: One, target: 1789-07-14}\n",
            "target: YAML takes 1789-07-14 for",
        ),
        (
            GOOD + "- {id: b, text: One 2, subject: One, target: 1789-14-07}\n",
            "line 5: YAML reads 1789-14-07 as",
        ),
        (
            GOOD + "- {id: b, text: A cafe\u0301 is, subject: caf\u00e9, target: ' x'}\n",
            "its text: \u00e9 is written as 2 characters in the text, as one character in",
        ),
        (
            GOOD + "- {id: b, text: A caf\u00e9 is, subject: cafe\u0301, target: ' x'}\n",
            "its text: \u00e9 is written as one character in the text, as 2 characters in",
        ),
        (
            GOOD + "- {id: b, text: A vi\u00ea\u0323t is, subject: vi\u1ec7t, target: ' x'}\n",
            "its letters with accents are other characters",
        ),
        (
            GOOD + "- {id: b, text: x x y, subject: x, target: ' x', occurrence: 2.0}\n",
            "occurrence: 2.0 (expec",
        ),
        (GOOD + "- {id: b, text: A b c, subject: b, target: ' x', fact: Peru}\n", "prompt 'b': fact: 'Peru'"),
        (GOOD + "- {id: b, text: A b c, subject: b, target: ' x', fact: 7}\n", "prompt 'b': fact: 7"),
        (GOOD + "- 5\n", "prompt 2: 5"),
        (GOOD + "- {text: One 2, subject: One, target: x}\n", "prompt 'number 2': 'id' is missing"),
        (GOOD + "- {id: b, text: One 2, subject: One}\n", "prompt 'b': 'target' is missing"),
        (GOOD + "-\t{id: b}\n", "facts.yaml: line 5: not YAML"),
        ("", "facts.yaml: None"),
        ("category: facts\ndescription: x\nprompts:\n", "facts.yaml: prompts: None"),
        (GOOD + "- {id: a, text: One 2, subject: One, target: ' x'}\n", "prompt 'a': id is used already in"),
    ],
)
def test_a_wrong_prompt_file_is_one_line(tmp_path, schemas, content, expected):
    write(tmp_path, facts=content)
    with pytest.raises(BadInput) as error:
        read_prompt_files(tmp_path, schemas["prompts"])
    message = str(error.value)
    assert expected in message and str(tmp_path / "facts.yaml") in message and "\n" not in message


def test_a_passage_has_no_subject(tmp_path, schemas):
    write(tmp_path, passages=GOOD.replace("facts", "passages"))
    with pytest.raises(BadInput, match="prompt 'a': a passage has no subject and no target"):
        read_prompt_files(tmp_path, schemas["prompts"])


def test_a_file_that_would_be_overlooked_is_refused(tmp_path, schemas):
    write(tmp_path, facts=GOOD)
    (tmp_path / "more.yml").write_text(GOOD)
    with pytest.raises(BadInput, match=r"more\.yml: would not be read \(expected: more\.yaml\)"):
        read_prompt_files(tmp_path, schemas["prompts"])


def test_hidden_files_are_an_editors_and_others_are_named(tmp_path, schemas):
    write(tmp_path, facts=GOOD)
    (tmp_path / ".#facts.yaml").symlink_to("someone@a.machine:1")
    (tmp_path / ".facts.yml").write_text("{")
    for name in ("facts.txt", "MORE.YAML", "facts.yaml~"):
        (tmp_path / name).write_text("{")
    (tmp_path / "old").mkdir()
    read = read_prompt_files(tmp_path, schemas["prompts"])
    assert list(read.categories) == [str(tmp_path / "facts.yaml")]
    assert read.remarks == [
        f"{tmp_path}: not read: MORE.YAML, facts.txt, facts.yaml~, old/ "
        "(prompts are in CATEGORY.yaml, .json, .jsonl, .ndjson, .csv or .tsv)"
    ]


def test_no_prompts_at_all_is_refused(tmp_path, schemas):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BadInput, match=r"no prompts \(expected: at least one CATEGORY.yaml\)"):
            read_prompt_files(folder, schemas["prompts"])
    (tmp_path / "facts.txt").touch()
    with pytest.raises(BadInput, match="no prompts .*; there is facts.txt"):
        read_prompt_files(tmp_path, schemas["prompts"])


def test_bytes_that_are_not_text_are_refused(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(
        BadInput, match=r"x.yaml: line 1, byte 4 \(0xff\): not UTF-8 \(expected: UTF-8; of a file"
    ):
        read_yaml(tmp_path / "x.yaml")


def test_text_that_ends_in_a_line_end_is_a_text(tmp_path, schemas):
    write(tmp_path, facts=GOOD + '- {id: b, text: "import os\\n", subject: os, target: import}\n')
    assert len(read_prompt_files(tmp_path, schemas["prompts"]).categories) == 1
