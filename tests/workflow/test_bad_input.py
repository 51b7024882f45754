"""Wrong input stops before any job, with one line that says what and where."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.config import check_project
from strata.inputs import BadInput

FRANCE = {"id": "france", "text": "The capital of France is", "subject": "France", "target": " Paris"}


def category(*prompts) -> dict:
    return {"category": "semantic", "description": "For tests.", "prompts": list(prompts)}


def without(key) -> dict:
    return {k: v for k, v in FRANCE.items() if k != key}


SEMANTIC = "data/prompts/semantic.yaml"
PROMPT_CASES = {
    "no target": (category(without("target")), [SEMANTIC, "'france'", "'target' is missing"]),
    "empty target": (category(FRANCE | {"target": ""}), [SEMANTIC, "'france'", "target"]),
    "no text": (category(without("text")), [SEMANTIC, "'france'", "'text' is missing"]),
    "no id": (category(without("id")), [SEMANTIC, "number 1", "'id' is missing"]),
    "subject not in text": (
        category(FRANCE | {"subject": "Spain"}),
        [SEMANTIC, "'france'", "subject: 'Spain' does not occur in its text"],
    ),
    "subject twice": (
        category(FRANCE | {"text": "France and France is"}),
        [SEMANTIC, "'france'", "occurs 2 times", "occurrence"],
    ),
    "occurrence too high": (category(FRANCE | {"occurrence": 2}), [SEMANTIC, "'france'", "occurrence: 2"]),
    "unknown completions": (
        category(FRANCE | {"completions": "capitals"}),
        [SEMANTIC, "'france'", "completions: 'capitals' is not one of", "completion_sets", "it has none"],
    ),
    "empty set": (
        category(FRANCE) | {"completion_sets": {"capitals": []}},
        [SEMANTIC, "completion_sets.capitals", "completions, each with its leading space"],
    ),
    "unknown field": (
        category(FRANCE | {"targt": "x"}),
        [SEMANTIC, "'france'", "unknown key 'targt'; did you mean 'target'?"],
    ),
    "duplicate id": (category(FRANCE, FRANCE), [SEMANTIC, "'france'", "id is used already in", SEMANTIC]),
    "id of another file": (
        category(FRANCE | {"id": "once"}),
        [SEMANTIC, "'once'", "used already in data/prompts/plain_english.yaml"],
    ),
    "id with a line break": (category(FRANCE | {"id": "france\n"}), [SEMANTIC, "id: ", "digits and hyphens"]),
    "id too long": (category(FRANCE | {"id": "a" * 101}), [SEMANTIC, "id: ", "at most 100"]),
    "pair of nothing": (category(FRANCE | {"pair": "x"}), [SEMANTIC, "'france'", "pair: 'x' is no prompt"]),
    "pair of itself": (category(FRANCE | {"pair": "france"}), [SEMANTIC, "'france'", "is the prompt itself"]),
    "pair of another category": (
        category(FRANCE | {"pair": "once"}),
        [SEMANTIC, "'france'", "pair: 'once' is of category 'plain_english'"],
    ),
    "pair with another target": (
        category(FRANCE, FRANCE | {"id": "b", "target": " Lyon", "pair": "france"}),
        [SEMANTIC, "'b'", "pair: 'france' has another target (expected: ' Lyon', as here)"],
    ),
    "pair of a pair": (
        category(FRANCE, *(FRANCE | {"id": name, "pair": "france"} for name in ("b", "c"))),
        [SEMANTIC, "'c'", "pair: 'france': 'france' is of another pair already"],
    ),
    "reserved category": (category(FRANCE) | {"category": "all"}, [SEMANTIC, "category: ", "another name"]),
    "empty category": (category(), [SEMANTIC, "prompts", "at least one prompt"]),
    "another name": (category(FRANCE) | {"category": "fact"}, [SEMANTIC, "category: 'fact'", "'semantic'"]),
    "not yaml": ("category: [semantic\nprompts: {", [SEMANTIC, "line", "not YAML"]),
    "not a mapping": ("just text", [SEMANTIC, "object"]),
}
CONFIG_CASES = {
    "unknown section": ("lense", {}, ["config.yaml", "unknown key 'lense'; did you mean 'lens'?"]),
    "unknown key": (
        "trace.sample",
        3,
        ["config.yaml", "trace: unknown key 'sample'", "did you mean 'samples'?"],
    ),
    "wrong type": ("trace.samples", "ten", ["config.yaml", "trace.samples: 'ten'", "a whole number from 1"]),
    "impossible value": ("average.interval", 1.5, ["config.yaml", "average.interval: 1.5"]),
    "no noise": ("trace.noise", {"absolute": [], "relative": []}, ["config.yaml", "trace.noise"]),
    "undeclared model": ("run", ["organizm"], ["config.yaml", "run: 'organizm'", "did you mean 'organism'?"]),
    "no such folder": (
        "models.organism.source",
        "./nowhere",
        ["config.yaml", "models.organism.source: no model in folder './nowhere'"],
    ),
    "no such file": (
        "models.organism.source",
        "data/models/SmolLM2-135M-Instruct.Q4_1.gguf",
        ["config.yaml", "models.organism.source: no file 'data/models/SmolLM2", "`make smollm2` brings it"],
    ),
    "unknown figure": (
        "lens.grid.prompts",
        ["line"],
        ["config.yaml", "lens.grid.prompts: no prompt 'line'", "'lines'"],
    ),
    "unknown prompt of the explorer": (
        "lens.explorer",
        ["onec"],
        ["config.yaml", "lens.explorer: no prompt 'onec'", "'once'"],
    ),
    "empty window": ("lens.grid.window", [8, 8], ["config.yaml", "lens.grid.window: [8, 8] is empty"]),
    "unknown decoder": ("lens.decoders", ["tunned"], ["config.yaml", "lens.decoders.0: 'tunned'", "'tuned'"]),
    "grid of a decoder that is not run": (
        "lens.decoders",
        ["tuned"],
        ["config.yaml", "lens.grid.decoders: 'logit' is not one of lens.decoders"],
    ),
    "unknown colouring": ("lens.grid.colourings", ["rainbow"], ["config.yaml", "'rainbow'", "input_rank"]),
    "unknown norm": ("lens.norm", "half", ["config.yaml", "lens.norm: 'half'", "'plain'"]),
    "extended by a word": (
        "lens.extended.last",
        "attn",
        ["config.yaml", "lens.extended.last: 'attn'", "a number of blocks, or mlp"],
    ),
    "parts at another level": (
        "trace.parts.noise.absolute",
        [0.7],
        ["config.yaml", "trace.parts.noise.absolute: 0.7 is not one of trace.noise.absolute"],
    ),
    "everywhere at another level": (
        "trace.everywhere.relative",
        [2],
        ["config.yaml", "trace.everywhere.relative: 2 is not one of trace.noise.relative"],
    ),
    "tokens between of no prompt": (
        "trace.everywhere.prompts",
        0,
        ["config.yaml", "trace.everywhere.prompts: 0", "a whole number from 1, or null"],
    ),
    "parts of other categories than are compared": (
        "trace.parts.categories",
        ["copying"],
        ["config.yaml", "average.order: '", "is not one of trace.parts.categories", "or null there"],
    ),
    "unknown convention": (
        "trace.convention",
        "rome",
        ["config.yaml", "trace.convention: 'rome'", "'paper'"],
    ),
    "no text": (
        "models.organism.text",
        "nowhere.txt",
        ["config.yaml", "models.organism.text: no file 'nowhere.txt'", "blank lines"],
    ),
    "no text declared": (
        "models.organism.text",
        None,
        ["config.yaml", "models.organism.text: none", "a text file"],
    ),
    "a text of another model's training": (
        "models.llama.text",
        "organism",
        ["config.yaml", "models.llama.text: the organism's corpus is for a model that was trained on it"],
    ),
    "facts that are rote": (
        "attention.contrast.facts",
        ["semantic", "non_english"],
        ["config.yaml", "attention.contrast: 'non_english' is both", "facts or rote"],
    ),
    "a group with the name of a category": (
        "hidden.pooled",
        {"semantic": ["non_english", "plain_english"]},
        ["config.yaml", "hidden.pooled: 'semantic' names prompts already"],
    ),
    "no long text": (
        "models.organism.long_text",
        "nowhere.txt",
        ["config.yaml", "models.organism.long_text: no file 'nowhere.txt'", "blank lines"],
    ),
    "tags of another model's training": (
        "models.llama.tagged_text",
        "organism",
        ["config.yaml", "models.llama.tagged_text: the organism's corpus", "a CoNLL-U file"],
    ),
    "no tagged text": (
        "models.organism.tagged_text",
        "nowhere.conllu",
        ["config.yaml", "models.organism.tagged_text: no file 'nowhere.conllu'", "a CoNLL-U file"],
    ),
    "no counts": (
        "models.llama.token_counts",
        "nowhere.tsv",
        ["config.yaml", "models.llama.token_counts: no file 'nowhere.tsv'", "token_id and count"],
    ),
    "counts that are none": (
        "models.llama.token_counts",
        "config.yaml",
        ["config.yaml", "models.llama.token_counts: config.yaml: columns", "separated by tabs"],
    ),
    "more triggers than documents": (
        "syntax.keys.triggers",
        5000,
        ["config.yaml", "syntax.keys.triggers: more than syntax.documents"],
    ),
    "no published lens": (
        "models.organism.lenses",
        {"tuned": "nowhere"},
        [
            "config.yaml",
            "models.organism.lenses.tuned: no lens at 'nowhere'",
            "a folder with config.json and params.pt",
        ],
    ),
    "heads": ("organism.recipe.n_heads", 3, ["config.yaml", "organism.recipe.n_heads: 3 heads"]),
    "figure without subject": ("trace.shown", ["lines"], ["config.yaml", "trace.shown", "'lines'"]),
    "level that is not traced": (
        "figures.noise",
        "0.7",
        ["config.yaml", "figures.noise: '0.7' is not one of trace.parts.noise", "'0.5'"],
    ),
}


END_TO_END = ["no target", "not yaml", "unknown key", "undeclared model"]


@pytest.fixture
def checked(project, monkeypatch):
    """The checks that every start of the pipeline makes, on the project as it is."""
    monkeypatch.chdir(project.folder)
    return lambda: check_project(project.read("config.yaml"), Path("workflow"))


def refused(check, expected) -> None:
    with pytest.raises(BadInput) as error:
        check()
    said = str(error.value)
    assert len(said.splitlines()) == 1 and all(part in said for part in expected), said


def refused_end_to_end(project, expected) -> None:
    results = sorted((project.folder / "results").rglob("*.nc"))
    done = project.snakemake("all")
    assert done.returncode != 0
    # Besides the note that a profile is in use, one line is all there is: no job has begun.
    said = [
        line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("Using workflow")
    ]
    assert len(said) == 1 and all(part in said[0] for part in expected), said
    assert sorted((project.folder / "results").rglob("*.nc")) == results


def test_the_project_itself_passes(checked):
    assert len(checked().figures) > 50


@pytest.mark.parametrize("case", PROMPT_CASES)
def test_bad_prompts(project, checked, case):
    content, expected = PROMPT_CASES[case]
    with project.changed(SEMANTIC, content):
        refused(checked, expected)
        if case in END_TO_END:
            refused_end_to_end(project, expected)


def test_bad_prompts_in_a_form_of_others(project, checked):
    file = project.folder / "data/prompts/known.json"
    file.write_text('[{"known_id": 1, "subject": "Rose Tower", "prompt": "Rose Tower is in"}]')
    try:
        expected = ["data/prompts/known.json: entry 1: 'attribute' is missing"]
        refused(checked, expected)
        refused_end_to_end(project, expected)
    finally:
        file.unlink()


@pytest.mark.parametrize("case", CONFIG_CASES)
def test_bad_config(project, checked, case):
    key, value, expected = CONFIG_CASES[case]
    with project.changed("config.yaml", project.config_with(key, value)):
        refused(checked, expected)
        if case in END_TO_END:
            refused_end_to_end(project, expected)


@pytest.mark.parametrize(
    "text,expected",
    [
        ("run: [organism\nlens: {}\n", "line 2"),
        ("run: [organism]\nrun: [gpt2]\n", "line 2: not YAML: key 'run'"),
    ],
)
def test_config_that_is_not_yaml(project, text, expected):
    with project.changed("config.yaml", text):
        refused_end_to_end(project, ["config.yaml", expected, "not YAML"])


def test_another_folder_is_told_how_to_start(project, tmp_path):
    command = [sys.executable, "-m", "snakemake", "-n", "-s", str(project.folder / "Snakefile")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert done.returncode != 0 and said[-1].endswith(f"(expected: snakemake --directory {project.folder})")
    assert "Traceback" not in said[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_run_that_fails_ends_with_the_rule_the_reason_and_the_log(project, tmp_path):
    copy = project.copy(tmp_path / "copy")
    wanted = ("--config", "models={organism: {device: cuda}}", "--", "results/organism/prompts.tsv")
    done = copy.snakemake("--forcerun", "curate_prompts", *wanted)
    assert done.returncode != 0 and "Strata analyses organism" in done.stderr
    assert re.fullmatch(
        r"curate_prompts failed: RuntimeError: torch \S+ finds no GPU here; .* device: cpu, or auto "
        r"\(log: logs/organism/curate_prompts.log\)",
        done.stderr.rstrip().splitlines()[-1],
    )


def test_numbers_in_a_section_can_be_given_on_the_command_line(project):
    """Snakemake hands them over as strings; the section's other keys stay."""
    given = "trace={max_rows: 512, noise: {absolute: [0.1, 0.5], relative: []}}"
    done = project.dry_run("--config", given, "--", "results/organism/prompts.tsv")
    assert done.returncode == 0, done.stdout


TEXT_CASES = {
    "json lines": ('{"text": "one"}\n' * 9, ["mine.txt", "line 1: JSON lines", "blank lines"]),
    "one document a line": ("one\n" * 9, ["mine.txt", "1 document in lines 1 to 9", "blank lines"]),
}


@pytest.mark.parametrize("case", TEXT_CASES)
def test_bad_text(project, checked, case):
    content, expected = TEXT_CASES[case]
    (project.folder / "mine.txt").write_text(content)
    with project.changed("config.yaml", project.config_with("models.organism.text", "mine.txt")):
        refused(checked, expected)


def test_files_that_are_no_prompts_are_named(project, checked, capsys):
    other = project.folder / "data/prompts/semantic.txt"
    checked()
    assert capsys.readouterr().err == ""
    other.touch()
    try:
        checked()
    finally:
        other.unlink()
    assert capsys.readouterr().err == (
        "data/prompts: not read: semantic.txt "
        "(prompts are in CATEGORY.yaml, .json, .jsonl, .ndjson, .csv or .tsv)\n"
    )


FIGURE_CASES = {
    "unknown field": ({"colour": "red"}, ["lens_commas", "unknown key 'colour'"]),
    "unknown key of the configuration": ({"config": {"a": "lens.b"}}, ["lens_commas", "no key 'lens.b'"]),
    "no caption": ({"caption": "nowhere"}, ["lens_commas", "no caption", "nowhere.rst"]),
    "not a function": ({"draw": "lens"}, ["lens_commas", "module.function"]),
}


@pytest.mark.parametrize("case", FIGURE_CASES)
def test_bad_rows_of_the_table_of_figures(project, checked, case):
    changes, expected = FIGURE_CASES[case]
    table = project.read("workflow/figures.yaml")
    table["lens_commas"] |= changes
    with project.changed("workflow/figures.yaml", table):
        refused(checked, ["workflow/figures.yaml", *expected])


def test_a_model_that_cannot_be_loaded_is_one_line_and_the_log_has_the_rest(project):
    empty = project.folder / "data/models/empty"
    empty.mkdir()
    sizes = {"n_layer": 1, "n_embd": 4, "n_head": 1, "vocab_size": 8, "n_positions": 8}
    (empty / "config.json").write_text(json.dumps({"model_type": "gpt2"} | sizes))
    save_file({"of_another": torch.zeros(8)}, empty / "model.safetensors")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(project.folder / "data/models/organism" / name, empty / name)
    config = project.config_with("models.gpt2.source", "data/models/empty")
    config["models"]["gpt2"]["text"] = "data/text.txt"
    with project.changed("config.yaml", config):
        done = project.snakemake("--config", "run=[gpt2]", "--", "results/gpt2/weights.h5")
    output = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in output
    assert "extract_weights: ModelUnavailable: model data/models/empty: the checkpoint is not that" in output
    assert "Traceback" in (project.folder / "logs/gpt2/extract_weights.log").read_text()
