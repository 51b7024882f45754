"""Many shards: planned for a model without weights; on a cluster, within the scheduler's limits."""

import re
import runpy
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from test_cluster import fresh_copy

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
BENCHMARK = runpy.run_path(str(ROOT / "benchmarks/bench_dag.py"))
N, AT_ONCE = 6, 3


def test_a_hundred_shards_of_a_large_model_are_planned(tmp_path):
    """By its sizes alone; with shards of the estimate's, the plan has them too."""
    BENCHMARK["write_project"](tmp_path, 6400, 64)

    def counted(*options: str) -> dict[str, int]:
        command = [sys.executable, "-m", "snakemake", "--cores", "1", "-n", *options]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M)}

    jobs = counted()
    for rule in ("trace_prompts", "trace_parts", "trace_control"):
        assert jobs[f"{rule}_shard"] == 100 and rule not in jobs
    assert jobs["gather_shards"] == 9 + 4 and jobs["trace_shown"] == 1
    assert jobs["read_lens_shard"] == 3 and jobs["read_extended_lens_shard"] == 1
    by_estimate = counted("--config", "trace={prompts_per_shard: auto}")
    assert 1 < by_estimate["trace_prompts_shard"] < 100


def test_shards_on_a_cluster_keep_the_scheduler_within_its_limits(node, project, tmp_path):
    """Scripts that do nothing: what is looked at is what is asked of SLURM."""
    copy = fresh_copy(project, tmp_path / "project", device="auto")
    share = "workflow/scripts/strata/share.py"
    copy.write(share, (copy.folder / share).read_text().replace("GROUP = 64\n", "GROUP = 1\n"))
    for script in ("trace/trace_prompts", "shards/gather_shards", "prompts/curate_prompts"):
        touch = "from pathlib import Path\n\nfor path in snakemake.output:\n    Path(path).touch()\n"
        copy.write(f"workflow/scripts/{script}.py", touch)
    rows = [{"id": f"m{n}", "text": f"From {n} to", "subject": str(n), "target": " it"} for n in range(N - 3)]
    copy.write("data/prompts/many.yaml", {"category": "many", "description": "For tests.", "prompts": rows})
    copy.write("config.yaml", copy.config_with("trace.prompts_per_shard", 1))
    asked = node.folder / "bin/squeue"
    asked.write_text(f'#!/bin/sh\necho >> {tmp_path}/asked\nexec {shutil.which("squeue")} "$@"\n')
    asked.chmod(0o755)
    began = time.monotonic()
    try:
        target = "results/organism/trace/control/state.nc"
        run = node.snakemake(copy.folder, "--jobs", str(AT_ONCE), "--", target)
        said, _ = run.communicate()
    finally:
        asked.unlink()
    seconds = time.monotonic() - began
    assert run.returncode == 0, said
    jobs = node.jobs(copy.folder)
    rules = [job["Rule"] for job in jobs]
    assert sorted(rules) == ["curate_prompts", "gather_shards", *["trace_control_shard"] * N]
    assert rules[-1] == "gather_shards"
    shards = [job for job in jobs if job["Rule"] == "trace_control_shard"]
    assert all("gpu:" in job["TresPerJob"] for job in shards)
    assert len({(job["TimeLimit"], job["MinMemoryNode"]) for job in shards}) == 1

    def when(job: dict, event: str) -> datetime:
        return datetime.fromisoformat(job[f"{event}Time"])

    for job in shards:
        there = [
            other for other in shards if when(other, "Submit") <= when(job, "Submit") < when(other, "End")
        ]
        assert len(there) <= AT_ONCE
    queries = (tmp_path / "asked").read_text().count("\n")
    assert queries <= seconds, "of all jobs together, once a second at most"
