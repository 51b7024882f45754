"""The organism's pipeline on a real SLURM of one node, with ``profiles/slurm``."""

import shutil
import signal

import pandas as pd
import pytest
import xarray as xr
from one_node import GPU, wait_until
from PIL import Image
from reruns import DRAWN

pytestmark = pytest.mark.long

ON_DEVICE = {
    *("curate_prompts", "extract_activations", "extract_text", "extract_tagged_text"),
    *("trace_prompts", "trace_parts", "trace_control", "trace_shown", "trace_approximate"),
    *("fit_tuned", "fit_jacobian", "fit_probes", "read_lens", "read_extended_lens"),
    *("measure_contextless", "measure_repurposing", "measure_mixing", "attend_over_text"),
    *("apply_zero_layer", "disturb_positions", "probe_syntax", "trigger_keys"),
}
"""Rules whose jobs run on the device of a model."""


def fresh_copy(project, folder, **changes):
    """The small project elsewhere, as it was before it was run; changes of its model's section."""
    copy = project.copy(folder)
    copy.dry_runs.close()
    for made in ("results", "logs", ".snakemake"):
        shutil.rmtree(copy.folder / made)
    config = copy.read("config.yaml")
    config["models"]["organism"] |= changes
    copy.write("config.yaml", config | {"run": ["organism"]})
    return copy


@pytest.fixture(scope="module")
def finished(node, project, tmp_path_factory):
    """A copy of the small project whose organism was run on the cluster, on a GPU if there is one.

    Of its figures, which are drawn as everywhere, one job's.
    """
    copy = fresh_copy(project, tmp_path_factory.mktemp("cluster") / "project", device="auto")
    run = node.snakemake(copy.folder, "--omit-from", *sorted({*DRAWN} - {"draw_single_traces"}), "--")
    said, _ = run.communicate()
    assert run.returncode == 0, said
    return copy


def test_what_is_made_on_a_cluster_is_what_is_made_here(project, finished):
    results, others = (each.folder / "results/organism" for each in (project, finished))
    files = [path.relative_to(others) for path in sorted(others.rglob("*.*")) if path.is_file()]
    data = [path for path in files if path.suffix in (".nc", ".h5")]
    tables = [path for path in files if path.suffix == ".tsv" and path.name != "claims.tsv"]
    assert len(data) > 40 and len(tables) > 10
    for path in data:
        one, other = (xr.open_dataset(each / path, engine="h5netcdf") for each in (results, others))
        with one, other:
            xr.testing.assert_equal(one, other)
    for path in tables:
        pd.testing.assert_frame_equal(*(pd.read_csv(each / path, sep="\t") for each in (results, others)))
    for name in ("once", "windows_once"):
        with Image.open(others / f"figures/trace_{name}.png") as picture:
            assert picture.format == "PNG"


def test_what_runs_on_a_device_asks_for_a_gpu_and_nothing_else_does(node, finished):
    jobs = node.jobs(finished.folder)
    asking = {job["Rule"] for job in jobs if f"gres:gpu:{GPU}:1" in job.get("TresPerJob", "")}
    others = {job["Rule"] for job in jobs if "gpu" not in job.get("TresPerJob", "")}
    assert asking == ON_DEVICE and others >= {"extract_weights", "gather_text", "average_traces"}
    assert not asking & others


def test_what_draws_and_judges_is_not_submitted(node, finished):
    rules = [job["Rule"] for job in node.jobs(finished.folder)]
    assert not [rule for rule in rules if rule.startswith(("draw_", "judge_", "write_front"))]
    assert len(rules) == 44, "each job once"
    assert (finished.folder / "results/organism/claims.tsv").is_file()


N_MODELS = 20


@pytest.fixture
def queued(node, project, tmp_path):
    """Submit what curates the prompts of many models, where no job begins; fields of the jobs."""
    copy = fresh_copy(project, tmp_path / "project")
    config = copy.read("config.yaml")
    model = config["models"]["organism"] | {"device": "auto"}
    config["models"] = {f"m{n}": model for n in range(N_MODELS)}
    copy.write("config.yaml", config | {"run": list(config["models"])})
    node.run("scontrol", "update", "partitionname=main", "state=down")

    def submit(*options: str) -> list[dict]:
        targets = [f"results/m{n}/prompts.tsv" for n in range(N_MODELS)]
        before = len(node.jobs(copy.folder))
        run = node.snakemake(copy.folder, "--jobs", "20", *options, "--", *targets)
        try:
            wait_until(lambda: len(node.jobs(copy.folder)) == before + N_MODELS, "all submitted", 120)
        finally:
            run.send_signal(signal.SIGINT)
            run.communicate()
        jobs = node.jobs(copy.folder)[before:]
        assert {job["JobState"] for job in jobs} == {"CANCELLED"}, "as soon as the run is interrupted"
        return jobs

    yield submit
    node.run("scontrol", "update", "partitionname=main", "state=up")


def test_jobs_of_many_models_are_submitted_at_once_each_with_a_gpu(queued):
    assert all(f"gpu:{GPU}:1" in job["TresPerJob"] for job in queued())


def test_on_a_partition_without_gpus_no_job_asks_for_one(queued):
    assert not any("TresPerJob" in job for job in queued("--resources", "gpu=0"))
