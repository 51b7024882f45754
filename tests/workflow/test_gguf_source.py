"""A model in a GGUF file: unpacked by a rule, and read by all others from where it is unpacked."""

import json
import os
import re
from contextlib import contextmanager
from pathlib import Path

import pytest
import xarray as xr
from small_project import make_project

from oracles import tiny_gguf

pytestmark = pytest.mark.long

FOLDER = "results/tiny/model"
TARGETS = ("results/tiny/prompts.tsv", "results/tiny/weights.h5")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The small project with a model in a GGUF file, its prompts curated and its weights extracted."""
    project = make_project(tmp_path_factory.mktemp("gguf"))
    vocabulary = tiny_gguf.byte_level()
    file = project.folder / "data/models/tiny.gguf"
    tiny_gguf.write(file, tiny_gguf.llama(len(vocabulary["tokens"])), vocabulary, "Q8_0")
    config = project.read("config.yaml")
    config["models"]["tiny"] = config["models"]["llama"] | {"source": "data/models/tiny.gguf"}
    project.write("config.yaml", config | {"run": ["tiny"]})
    done = project.snakemake(*TARGETS)
    assert done.returncode == 0, done.stdout + done.stderr
    yield project
    project.dry_runs.close()


def test_the_weights_are_those_of_the_file_and_say_so(project):
    with xr.open_dataset(project.folder / "results/tiny/weights.h5", engine="h5netcdf") as weights:
        model = json.loads(weights.attrs["provenance"])["model"]
        assert weights["token_embedding"].shape == (len(tiny_gguf.byte_level()["tokens"]), 64)
    assert model["source"] == FOLDER and model["file"] == "data/models/tiny.gguf"


def test_it_is_unpacked_once(project):
    assert project.plan(*TARGETS).jobs == {}
    plan = project.plan("all")
    assert "unpack_model" not in plan.jobs and "trace_prompts" in plan.jobs


@contextmanager
def file_changed(project, change):
    """While open, the GGUF file has other contents (None: there is no file)."""
    file = project.folder / "data/models/tiny.gguf"
    content, before = file.read_bytes(), file.stat()
    changed = change(content)
    file.unlink() if changed is None else file.write_bytes(changed)
    try:
        yield
    finally:
        file.write_bytes(content)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_another_file_runs_all_that_reads_the_model_again(project):
    with file_changed(project, lambda content: content[:-1] + bytes([content[-1] ^ 1])):
        rules = ["unpack_model", "curate_prompts", "extract_weights"]
        assert project.plan(*TARGETS).jobs == dict.fromkeys(rules, 1)


def test_every_job_that_reads_the_model_depends_on_what_was_unpacked(project):
    """As inputs: on a cluster, a job must not begin before its model is there."""
    done = project.dry_run("all", "--forceall", "--quiet", "host")
    assert done.returncode == 0, done.stdout
    jobs = re.split(r"^(?=rule )", done.stdout, flags=re.M)
    for rule in ("curate_prompts", "gather_text", "extract_activations", "trace_prompts", "fit_jacobian"):
        (job,) = (job for job in jobs if job.startswith(f"rule {rule}:"))
        assert f"{FOLDER}/model.safetensors" in job and "tiny.gguf" not in job, job


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content[:-100], "data/models/tiny.gguf: cut short: "),
        (lambda content: b"<html>", "data/models/tiny.gguf: not a GGUF file (it begins with b'<html>')"),
        (lambda content: None, "no file 'data/models/tiny.gguf'"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line_before_any_job(project, change, said):
    with file_changed(project, change):
        done = project.snakemake(*TARGETS)
    lines = [
        line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("Using workflow")
    ]
    assert done.returncode != 0 and len(lines) == 1
    assert lines[0].startswith("config.yaml: models.tiny.source: ") and said in lines[0], lines


def test_what_is_unpacked_is_listed_in_full(project):
    from pipeline.models import UNPACKED

    assert {*UNPACKED} <= {path.name for path in Path(project.folder, FOLDER).iterdir()}
