"""A real language model, SmolLM2-135M, from its file to figures of a few prompts (see `make smollm2`).

On a SLURM of one node, where its packages are (see `make slurm`); else on this machine alone.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from one_node import GPU, lacking
from PIL import Image
from small_project import ROOT, copy_pipeline

from oracles.captured import activations_of, decoder_of
from oracles.noised import noised
from pipeline.open_model import open_model
from strata.lens.readout import carry_by, read_activations
from strata.model.architecture import find_parts
from strata.trace.sites import restoration
from strata.trace.sweep import trace_prompts

pytestmark = pytest.mark.long

MODEL = Path("data/models/SmolLM2-135M-Instruct.Q4_1.gguf")
TEXT = Path("data/texts/news.txt")
PROMPTS = {
    "plain_english": [("once", "Once upon a", "upon", " time")],
    "semantic": [
        ("france", "The capital of France is", "France", " Paris"),
        ("eiffel", "The Eiffel Tower is located in the city of", "Eiffel Tower", " Paris"),
        ("wrong", "The capital of Peru is", "Peru", " Paris"),
    ],
}
RESULTS = "results/smollm2"
TARGETS = [
    f"{RESULTS}/{name}"
    for name in (
        "figures/lens_grid_free_logit_logit.png",
        "figures/trace_france.png",
        "figures/lens_updates_free_logit.png",
        "trace/by_category.nc",
        "attention.nc",
        "hidden.nc",
        "embedding.nc",
        "text/token_counts.tsv",
    )
]


@pytest.fixture(scope="module")
def results(tmp_path_factory, request):
    """What the pipeline makes of SmolLM2, of four prompts and a passage."""
    for file in (MODEL, TEXT):
        if not (ROOT / file).is_file():
            pytest.skip(f"{file} is not here: make smollm2")
    folder = tmp_path_factory.mktemp("real")
    prompts = {
        category: [dict(zip(("id", "text", "subject", "target"), prompt, strict=True)) for prompt in own]
        for category, own in PROMPTS.items()
    }
    free = {"id": "free", "text": "From Wikipedia, the free"}
    project = copy_pipeline(folder, prompts | {"passages": [free]})
    for file in (MODEL, TEXT):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).symlink_to(ROOT / file)
    config = project.read("config.yaml")
    config["run"] = ["smollm2"]
    config["models"]["smollm2"]["device"] = "auto"
    config["text"] |= {"documents": 12}
    config["lens"] |= {"decoders": ["logit"], "explorer": "all"}
    config["lens"]["grid"] |= {"prompts": ["free"], "colourings": ["logit"]}
    three = {"absolute": [], "relative": [3]}
    config["trace"]["everywhere"] |= three
    config["trace"] |= {"noise": three, "replacements": 0, "shown": ["france"]}
    config["trace"]["parts"]["noise"] = config["trace"]["control"]["noise"] = three
    config["figures"]["noise"] = "3x"
    for section in ("attention", "hidden"):
        config[section]["statistics"]["resamples"] = 20
    config["average"] |= {"resamples": 20, "permutations": 20}
    project.write("config.yaml", config)
    project.dry_runs.close()
    if lacking():
        done = project.snakemake(*TARGETS)
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        run = request.getfixturevalue("node").snakemake(folder, "--", *TARGETS)
        said, _ = run.communicate()
        assert run.returncode == 0, said
    return folder / RESULTS


def test_on_a_cluster_its_jobs_ask_for_a_gpu_and_more_processors(node, results):
    jobs = {job["Rule"]: job for job in node.jobs(results.parents[1])}
    for rule in ("curate_prompts", "extract_activations", "trace_prompts", "trace_shown", "read_lens"):
        assert jobs[rule]["TresPerJob"] == f"gres:gpu:{GPU}:1" and jobs[rule]["CPUs/Task"] == "4", rule
    for rule in ("unpack_model", "extract_weights", "gather_text", "decompose_embeddings"):
        assert "TresPerJob" not in jobs[rule] and jobs[rule]["CPUs/Task"] == "1", rule


def test_prompts_are_completed_as_the_model_is_known_to(results):
    """The numbers are those of transformers' own reading of the file."""
    prompts = pd.read_csv(results / "prompts.tsv", sep="\t").set_index("id")
    assert prompts.loc["france", "p_target"] == pytest.approx(0.773, abs=0.001)
    assert prompts.loc["eiffel", "p_target"] == pytest.approx(0.702, abs=0.001)
    assert prompts.loc["free", "top_str"] == "Ġencyclopedia"
    assert prompts["accepted"].to_dict() == {
        **dict.fromkeys(("once", "france", "eiffel", "free"), True),
        "wrong": False,
    }


def test_the_lens_ends_in_the_models_own_answer(results):
    with xr.open_dataset(results / "lens/logit.nc", engine="h5netcdf") as lens:
        assert set(lens["prompt"].values) == {"once", "france", "eiffel", "free"}
        last = lens.isel(depth=-1, token=(lens["prompt"].values == "france").nonzero()[0][-1])
        assert (
            last["top_str"].values[0] == "ĠParis" and float(abs(lens["kl_final"].isel(depth=-1)).max()) < 1e-4
        )
        assert lens.sizes["depth"] == 61


def test_a_fact_is_restored_at_the_subject_early_and_at_the_end_late(results):
    with xr.open_dataset(results / "trace/by_category.nc", engine="h5netcdf") as averages:
        fact = averages["restoration_prompt"].sel(prompt="france", noise="3x")
        subject, final = (fact.sel(site=site).values for site in ("subject", "final"))
    assert subject[0] == pytest.approx(1, abs=0.01) and subject[-1] < 0.1
    assert final[0] < 0.1 and final[-1] > 0.9


def test_every_figure_is_a_picture(results):
    for name in ("lens_grid_free_logit_logit", "trace_france", "lens_updates_free_logit"):
        with Image.open(results / f"figures/{name}.png") as image:
            assert image.format == "PNG" and min(image.size) > 300


@cache
def in_type(dtype, folder):
    """Probabilities of a trace's restored states, and the lens, of one prompt run in a type."""
    model, tokenizer = open_model(
        {"source": str(folder), "revision": None, "dtype": dtype, "beginning_token": True}
    )
    parts, ids = find_parts(model), tokenizer.encode("Once upon a")
    prompt = noised(ids, subject=(1,), samples=1, size=0.35, width=parts.n_channels)
    prompt = replace(prompt, target_id=tokenizer.encode(" time")[0])
    [trace] = trace_prompts(parts, [prompt], {"state": restoration("state", parts.n_layers)})["state"]
    carry, targets = carry_by(n_layers=parts.n_layers), np.array([*ids[1:], -1])
    lens = read_activations(activations_of(parts, ids), decoder_of(parts), carry, targets, top_k=1)
    return trace.restored[0].exp(), lens


@pytest.mark.parametrize(
    ("dtype", "probability", "agreement", "divergence"),
    [("bfloat16", 0.1, 0.95, 0.05), ("float16", 0.01, 0.98, 0.01)],
)
def test_half_precision_says_what_float32_says(results, dtype, probability, agreement, divergence):
    """Within the tolerances that docs/costs.md states."""
    (exact, lens), (found, other) = (in_type(each, results / "model") for each in ("float32", dtype))
    torch.testing.assert_close(found, exact, atol=probability, rtol=0, equal_nan=True)
    assert (other["top_id"] == lens["top_id"]).float().mean() >= agreement
    off = (other["kl_final"] - lens["kl_final"]).abs().mean() / lens["kl_final"].mean()
    assert 0 < off < divergence  # 0 would be the same type twice
