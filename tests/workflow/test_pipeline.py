"""The small project's results are what the contracts say."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

ROOT = Path(__file__).parents[2]
DIMS = {
    "weights.h5": {
        "token_embedding": ("vocab", "channel"),
        "position_embedding": ("position", "channel"),
        "unembedding": ("vocab", "channel"),
        "norm1_gain": ("layer", "channel"),
    },
    "activations.h5": {
        "resid": ("depth", "token", "channel"),
        "attn_out": ("layer", "token", "channel"),
        "mlp_out": ("layer", "token", "channel"),
        "attention_last": ("layer", "head", "token"),
        "logprob_next": ("token",),
        "token_str": ("token",),
    },
    "lens/logit.nc": {
        "top_id": ("depth", "token", "k"),
        "top_str": ("depth", "token", "k"),
        "entropy": ("depth", "token"),
        "kl_final": ("depth", "token"),
        "rank_of_target": ("depth", "token"),
    },
    "trace/state.nc": {
        "p_target": ("prompt", "noise", "sample", "depth", "position"),
        "p_corrupted": ("prompt", "noise", "sample"),
        "p_clean": ("prompt",),
    },
    "trace/by_category.nc": {
        "restoration": ("category", "noise", "site", "depth"),
        "transition_depth": ("prompt", "noise"),
    },
    "embedding.nc": {"token_singular_value": ("component",), "position_left": ("position", "component")},
}


@pytest.mark.parametrize("file", DIMS)
def test_files_open_with_names_and_say_what_made_them(project, file):
    with xr.open_dataset(project.folder / "results/organism" / file, engine="h5netcdf") as dataset:
        for name, dims in DIMS[file].items():
            assert dataset[name].dims == dims, name
        made_by = json.loads(dataset.attrs["provenance"])
        assert made_by["strata"]
        model = {"name": "organism", **project.read("config.yaml")["models"]["organism"]}
        if file in ("weights.h5", "embedding.nc"):  # weights are only read
            del model["device"]
        assert made_by["model"] == model


def test_prompts_are_accepted_and_passages_stay(project):
    table = pd.read_csv(project.folder / "results/organism/prompts.tsv", sep="\t")
    assert table["accepted"].all() and len(table) == 4
    assert table.set_index("id").loc["lines", "text"] == "one two\nthree $four$ one two"


def test_lens_ends_where_the_model_does(project):
    results = project.folder / "results/organism"
    lens = xr.open_dataset(results / "lens/logit.nc", engine="h5netcdf")
    activations = xr.open_dataset(results / "activations.h5", engine="h5netcdf")
    last = lens.isel(depth=-1)
    assert np.allclose(last["kl_final"], 0, atol=1e-5)
    assert (last["rank_of_final"] == 0).all()
    known = ~np.isnan(activations["logprob_next"].values)
    np.testing.assert_allclose(
        last["logprob_target"].values[known], activations["logprob_next"].values[known], atol=1e-4
    )


def test_every_figure_is_a_picture(project):
    for figure in sorted((project.folder / "results/organism/figures").glob("*.png")):
        assert figure.read_bytes().startswith(b"\x89PNG") and figure.stat().st_size > 5000
        assert figure.with_suffix(".svg").read_text().lstrip().startswith("<?xml")


def test_report_is_one_page_with_every_figure(project):
    done = project.snakemake("--report", "results/report.html")
    assert done.returncode == 0, done.stderr
    page = (project.folder / "results/report.html").read_text()
    for name in ("lens_grid_lines.png", "restoration_lines.png", "trace_once.png", "evaluation.html"):
        assert name in page
    embedded = re.findall(r'"data_uri": "data:image/png;[^"]*?base64,', page)
    assert len(embedded) == len(list((project.folder / "results/organism/figures").glob("*.png")))
    assert not re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="http', page)


ANALYSIS = ["restoration", "embedding", "lens", "decoders", "io", "figures.lens", "figures.trace"]


@pytest.mark.parametrize("module", [*ANALYSIS, "figures.embedding", "figures.training"])
def test_analysis_never_imports_transformers_and_drawing_never_torch(module):
    heavy = ["transformers"] if module in ("lens", "decoders") else ["transformers", "torch"]
    code = f"import sys, strata.{module}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "workflow/scripts",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_an_interrupted_or_failing_job_leaves_a_log(project):
    logs = sorted((project.folder / "logs/organism").glob("*.log"))
    assert {"trace_states.log", "read_lens.log"} <= {log.name for log in logs}
    assert "prompts: 100%" in (project.folder / "logs/organism/trace_states.log").read_text()
