"""The SLURM profile, as far as no SLURM is needed: what jobs ask for, and how many are submitted at once."""

import os
import stat
import subprocess
import sys
import time

import pytest

N_MODELS = 20


@pytest.fixture
def submitting(project, tmp_path):
    """A copy with many models, and commands in SLURM's place that take jobs without running them."""
    copy = project.copy(tmp_path / "project")
    copy.dry_runs.close()
    config = copy.read("config.yaml")
    model = config["models"]["organism"] | {"device": "auto"}
    config["models"] = {f"m{n}": model for n in range(N_MODELS)}
    config["run"] = list(config["models"])
    copy.write("config.yaml", config)
    commands = {
        "sbatch": f'echo "$@" >> {tmp_path}/submitted; wc -l < {tmp_path}/submitted',
        "squeue": "true",
        "sacct": "echo somebody",
        "sacctmgr": "echo somebody",
        "sinfo": "echo slurm 22.05",
        "scancel": "true",
        "scontrol": "echo MinJobAge = 3000 sec",
    }
    for name, does in commands.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{does}\n")
        path.chmod(path.stat().st_mode | stat.S_IEXEC)

    def run(*options: str) -> list[str]:
        """The submissions of a run that curates the prompts of all models."""
        targets = [f"results/m{n}/prompts.tsv" for n in range(N_MODELS)]
        command = [sys.executable, "-m", "snakemake", "--profile", "profiles/slurm", *options, "--", *targets]
        environment = os.environ | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
        submitted = tmp_path / "submitted"
        submitted.write_text("")
        with (tmp_path / "said").open("w") as said:
            process = subprocess.Popen(
                command, cwd=copy.folder, env=environment, stdout=said, stderr=subprocess.STDOUT
            )
            deadline = time.monotonic() + 120
            while len(submitted.read_text().splitlines()) < N_MODELS:
                assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "said").read_text()
                time.sleep(0.5)
            process.kill()
            process.wait()
        return submitted.read_text().splitlines()

    return run


def test_jobs_of_many_models_are_submitted_at_once_each_with_a_gpu(submitting):
    lines = submitting()
    assert len(lines) == N_MODELS and all("gpu" in line for line in lines)


def test_on_a_partition_without_gpus_no_job_asks_for_one(submitting):
    lines = submitting("--resources", "gpu=0")
    assert len(lines) == N_MODELS and not any("gpu" in line for line in lines)
