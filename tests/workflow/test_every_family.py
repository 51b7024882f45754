"""Tiny models of many families through the pipeline, with tokenizers of three kinds, in one run.

Here those that are most unlike each other; with ``--all-families``, as `make families` does, all.
"""

import json
import shutil

import pandas as pd
import pytest
import torch
import xarray as xr
from small_project import PROMPTS, TEXTS, make_project, teach

from oracles import tiny_models, tiny_tokenizers
from strata.text.tokenizer import load_tokenizer

pytestmark = pytest.mark.long

STAGES = (
    "lens/comparison.tsv",
    "lens/answers.tsv",
    "lens/probes.nc",
    "lens/contextless.nc",
    "lens/repurposing.nc",
    "lens/mixing.nc",
    "trace/order.tsv",
    "trace/by_category_mlp.nc",
    "attention.nc",
    "attention_text.nc",
    "hidden.nc",
    "embedding/positions.nc",
    "embedding/experiments.nc",
    "embedding/outlier_channels.nc",
    "embedding/gains.tsv",
    "embedding/frequency.tsv",
    "embedding/components.tsv",
    "embedding/zero_layer.nc",
    "embedding/clump.tsv",
)
WORDS = sorted({word for text in TEXTS for word in text.split()})

ASKED = [p["text"] + p["target"] for prompts in PROMPTS.values() for p in prompts if "target" in p]
"""What a model has to know to have its prompts accepted."""

BEGUN = {"llama", "mistral", "gemma2", "gemma3"}
"""Those that get a tokenizer with a beginning token."""


def copied_tokenizer(source, folder) -> int:
    """Give a model another's tokenizer; its number of tokens."""
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, folder / name)
    return len(load_tokenizer(str(folder)))


def pytest_generate_tests(metafunc):
    names = tiny_models.NAMES if metafunc.config.getoption("--all-families") else tiny_models.UNLIKE
    metafunc.parametrize("name", names)


@pytest.fixture(scope="module")
def results(tmp_path_factory, pytestconfig):
    """What the pipeline makes of all of them."""
    names = tiny_models.NAMES if pytestconfig.getoption("--all-families") else tiny_models.UNLIKE
    project = make_project(tmp_path_factory.mktemp("families"))
    config = project.read("config.yaml")
    section = config["models"]["organism"] | {"text": "data/text.txt", "tagged_text": None}
    for name in names:
        folder = project.folder / "data/models" / name
        config["models"][name] = section | {"source": f"data/models/{name}"}
        if name == "ctrl":
            n_tokens = tiny_tokenizers.ctrl(folder, words=WORDS)
        elif name in BEGUN:
            n_tokens = tiny_tokenizers.sentencepiece(folder, dummy_space=name == "llama", words=WORDS)
        else:
            n_tokens = copied_tokenizer(project.folder / "data/models/organism", folder)
        kind, configuration, options = tiny_models.MODELS[name]
        # Padded: rows that belong to no token.
        padded = options | {"vocab_size": n_tokens + 3, "attn_implementation": "eager"}
        torch.manual_seed(0)
        model = kind(configuration(**padded))
        model.config.save_pretrained(folder)
        tokenizer = load_tokenizer(str(folder))
        teach(model, [tokenizer.encode(text) for text in ASKED], 0.003, 80)
        model.save_pretrained(folder)
    config["run"] = list(names)
    config["text"] |= {"documents": 20, "max_tokens": 48}
    config["lens"] |= {"decoders": ["logit", "extended", "tuned", "jacobian"]}
    config["trace"]["control"]["prefix"] = "Yes.\n"
    project.write("config.yaml", config)
    done = project.snakemake(*(f"results/{name}/{file}" for name in names for file in STAGES))
    project.dry_runs.close()
    assert done.returncode == 0, done.stdout + done.stderr
    return project.folder / "results"


def test_every_stage_has_results(results, name):
    prompts = pd.read_csv(results / name / "prompts.tsv", sep="\t")
    assert prompts["accepted"].all()
    asked = prompts[prompts["target_id"] >= 0]
    # The first position is the beginning token's, where there is one.
    assert len(prompts) == sum(map(len, PROMPTS.values())) and len(asked) == len(ASKED)
    assert asked["subject_start"].min() > (name in BEGUN)
    for file in STAGES:
        assert (results / name / file).stat().st_size > 0, file
    with xr.open_dataset(results / name / "lens/logit.nc", engine="h5netcdf") as lens:
        assert float(abs(lens["kl_final"].isel(depth=-1)).max()) < 1e-4
        assert int(lens["beginning"].sum()) == (len(prompts) if name in BEGUN else 0)
    with xr.open_dataset(results / name / "weights.h5", engine="h5netcdf") as weights:
        assert json.loads(weights.attrs["provenance"])["model"]["name"] == name
        assert not any("<no token>" in str(token) for token in weights["token_str"].values)
