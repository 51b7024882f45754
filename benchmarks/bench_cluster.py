"""What many shards ask of a cluster's scheduler: `make scale`.

Snakemake submits the traces of `bench_dag.py`'s project to a real slurmctld. The cluster is simulated: one
node says that it has processors and memory for all jobs, and each job waits for a moment and makes its
files, empty.
"""

import argparse
import re
import resource
import shutil
import sys
import threading
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

from bench_dag import write_project
from one_node import Node

TARGET = "results/xl/trace/control/state.nc"
FILES = {
    "curate_prompts": ("results/xl/prompts.tsv", "logs/xl/curate_prompts.benchmark.tsv"),
    "trace_control_shard": (
        "results/xl/trace/shards/{shard}/control/state.nc",
        "logs/xl/trace_control_shard_{shard}.benchmark.tsv",
    ),
    "gather_shards": (TARGET, "logs/xl/gather_shards_{stage}_{gathered}.benchmark.tsv"),
}
"""What a job of a rule makes."""

LONGEST = 20
"""Seconds that a job takes at most."""

SBATCH = """\
#!{python}
import os, random, re, sys

FILES = {files}
for place, argument in enumerate(sys.argv):
    if argument.startswith("--wrap="):
        rule, wildcards = re.search(r"--target-jobs '?(\\w+):(\\S*?)'? ", argument).groups()
        values = dict(pair.split("=") for pair in wildcards.split(","))
        files = " ".join(file.format(**values) for file in FILES[rule])
        wait = random.Random(files).uniform(1, {longest})
        sys.argv[place] = f"--wrap=sleep {{wait:.2f}} && mkdir -p $(dirname {{files}}) && touch {{files}}"
os.execv("{real}", ["sbatch", *sys.argv[1:]])
"""
SQUEUE = '#!/bin/sh\necho >> {log}\nexec {real} "$@"\n'


def watch(node: Node, counts: list[int], ended: threading.Event) -> None:
    """Count the jobs in the queue, again and again."""
    while not ended.wait(1):
        counts.append(len(node.run(shutil.which("squeue"), "-h", "-t", "pending,running").splitlines()))


def in_seconds(moments: list[datetime], seconds: int) -> int:
    """The most of the moments that lie within so many seconds."""
    times = sorted(moment.timestamp() for moment in moments)
    return max(sum(begin <= time < begin + seconds for time in times) for begin in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="to be made, for the project and the cluster")
    parser.add_argument("--prompts", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=1000)
    asked = parser.parse_args()
    project, cluster = asked.folder / "project", asked.folder / "cluster"
    for each in (project, cluster):
        each.mkdir(parents=True)
    write_project(project, asked.prompts, -(-asked.prompts // asked.shards))
    node = Node(cluster, cpus=1024, memory_mb=100_000_000)
    counts, ended, began = [], threading.Event(), time.monotonic()
    try:
        node.start()
        questions = cluster / "questions"
        for name, text in (
            (
                "sbatch",
                SBATCH.format(
                    python=sys.executable, files=FILES, longest=LONGEST, real=shutil.which("sbatch")
                ),
            ),
            ("squeue", SQUEUE.format(log=questions, real=shutil.which("squeue"))),
        ):
            (cluster / "bin" / name).write_text(text)
            (cluster / "bin" / name).chmod(0o755)
        watching = threading.Thread(target=watch, args=(node, counts, ended))
        watching.start()
        run = node.snakemake(project, "--jobs", "100", "--resources", "gpu=0", "--", TARGET)
        said, _ = run.communicate()
        ended.set()
        watching.join()
        if run.returncode:
            sys.exit(said[-3000:])
        seconds = time.monotonic() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        jobs = node.jobs(project)
        diagnosis = node.run("sdiag")
    finally:
        ended.set()
        node.stop()
    for rule, number in Counter(job["Rule"] for job in jobs).items():
        print(f"{rule:20} {number:>6} jobs")
    submitted = [datetime.fromisoformat(job["SubmitTime"]) for job in jobs]
    print(f"run in {seconds:.0f} s; at most {max(counts)} jobs in the queue")
    print(f"Snakemake: {used.ru_utime + used.ru_stime:.0f} s of CPU, {used.ru_maxrss / 2**20:.2f} GB")
    print(f"submissions: at most {in_seconds(submitted, 10)} in 10 s")
    n_questions = questions.read_text().count("\n")
    print(f"questions for the state of all jobs: {n_questions}, one every {seconds / n_questions:.1f} s")
    for what in ("Server thread count", "Agent queue size", "Max cycle", "Mean cycle"):
        number = re.search(rf"{what}: +(\d+)", diagnosis)[1]
        print(f"slurmctld, {what.lower()}: {number}")


if __name__ == "__main__":
    main()
