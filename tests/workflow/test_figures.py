"""No words lie upon each other, in any figure that the pipeline draws.

Here of the small project's two models; with ``--all-depths``, as `make depths` does, of models of 12 to 48
layers whose tokens are long, of many scripts, and not to be printed.
"""

from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import torch
from small_project import PROMPTS, TINY, make_project, teach
from transformers import GPT2Config, GPT2LMHeadModel

from oracles.rendering import overlaps
from pipeline.figure_table import expand_figures
from strata import io
from strata.organism.tokenizer import as_pretrained, train_tokenizer

pytestmark = pytest.mark.long

DEPTHS = (12, 18, 30, 48)
STRANGE = {
    "plain_english": [
        {
            "id": "kommt",
            "text": "Donaudampfschifffahrtsgesellschaft fährt",
            "subject": "fährt",
            "target": " heute",
        },
        {"id": "stolitsa", "text": "Столица России это", "subject": "России", "target": " Москва"},
    ],
    "non_english": [
        {"id": "bell", "text": "\t\u0007\u200b then say", "subject": "then", "target": " hello"},
        {"id": "toukyou", "text": "日本の首都は東京", "subject": "首都", "target": "です"},
    ],
}


def overlapping(project, model: str) -> dict[str, list[tuple[str, str]]]:
    """The words that lie upon each other, by the names of the figures of one model."""
    config, table = project.read("config.yaml"), project.read("workflow/figures.yaml")
    opened = cache(lambda path: io.open_data(str(project.folder / path)))
    found = {}
    for figure in expand_figures(table, config):
        paths = {name: path.format(model=model) for name, path in figure.data.items()}
        if figure.job == "training" or not all((project.folder / path).exists() for path in paths.values()):
            continue
        module, _, function = figure.draw.rpartition(".")
        models = config["run"] if figure.across else [model]
        data = {
            name: {m: opened(path.format(model=m)) for m in models} if figure.across else opened(paths[name])
            for name, path in figure.data.items()
        }
        drawn = getattr(import_module(f"strata.figures.{module}"), function)(**data, **figure.options)
        found[figure.name] = overlaps(drawn)
    assert len(found) > 60
    return {name: words for name, words in found.items() if words}


@pytest.mark.parametrize("model", ["organism", "llama"])
def test_words_do_not_lie_upon_each_other(project, model):
    assert overlapping(project, model) == {}


@pytest.mark.parametrize("layers", DEPTHS)
def test_nor_in_figures_of_deep_models_and_strange_tokens(pytestconfig, tmp_path, layers):
    if not pytestconfig.getoption("--all-depths"):
        pytest.skip("minutes for each depth: make depths")
    prompts = {name: [*PROMPTS.get(name, []), *STRANGE.get(name, [])] for name in {**PROMPTS, **STRANGE}}
    project = make_project(tmp_path)
    for name, own in prompts.items():
        project.write(f"data/prompts/{name}.yaml", _category(project, name, own))
    folder = project.folder / "data/models/organism"
    texts = [prompt["text"] + prompt.get("target", "") for own in prompts.values() for prompt in own]
    _make_deep(folder, texts, layers)
    config = project.read("config.yaml")
    config["run"] = ["organism"]
    config["lens"]["grid"] |= {"prompts": ["lines", "bell"], "window": [0, 24]}
    config["trace"]["shown"] = ["once", "kommt", "toukyou"]
    project.write("config.yaml", config)
    done = project.snakemake("all")
    project.dry_runs.close()
    assert done.returncode == 0, done.stdout + done.stderr
    table = io.read_prompts(str(project.folder / "results/organism/prompts.tsv"))
    assert {"kommt", "bell", "stolitsa"} & set(table.loc[table["accepted"], "id"])
    assert overlapping(project, "organism") == {}


def _category(project, name: str, prompts: list[dict]) -> dict:
    path = project.folder / f"data/prompts/{name}.yaml"
    before = project.read(f"data/prompts/{name}.yaml") if path.exists() else {}
    return {"category": name, "description": "For tests.", **before, "prompts": prompts}


def _make_deep(folder: Path, texts: list[str], layers: int) -> None:
    """A narrow GPT-2 of many layers that knows some texts."""
    tokenizer = train_tokenizer(texts * 5, TINY["vocab_size"])
    as_pretrained(tokenizer, TINY["row_length"]).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"n_embd": 32, "n_head": 2, "n_layer": layers, "n_positions": TINY["row_length"]}
    sizes |= {"bos_token_id": None, "eos_token_id": None}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=tokenizer.get_vocab_size(), **sizes))
    teach(model, [tokenizer.encode(text).ids for text in texts], 0.004, 150)
    model.save_pretrained(folder)
    rows = [f"{token}\t{token % 7}" for token in range(tokenizer.get_vocab_size())]
    (folder / "token_counts.tsv").write_text("\n".join(["token_id\tcount", *rows]) + "\n")
