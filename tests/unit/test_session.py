"""What a run says at its start and at its end, and of its errors."""

import errno
import os
import threading
import time

import pytest
import torch
from snakemake.scheduling.job_scheduler import JobScheduler

from pipeline.job import in_words
from pipeline.session import failure, plan_one_look, where_to_look
from strata.model.device import require, usable

LOG = """batches of prompts: 50%
ERROR:root:trace_prompts failed
Traceback (most recent call last):
  File "trace_prompts.py", line 1, in <module>
ValueError: prompt 'a': its subject is lost

"""


def test_a_failure_is_a_line_with_rule_reason_and_log(tmp_path):
    log = tmp_path / "trace_prompts.log"
    log.write_text(LOG)
    assert failure("trace_prompts", str(log)) == (
        f"trace_prompts failed: ValueError: prompt 'a': its subject is lost (log: {log})"
    )


@pytest.mark.parametrize("text", [None, "", "batches of prompts: 50%\n"])
def test_a_job_that_was_killed_leaves_no_reason(tmp_path, text):
    log = tmp_path / "rule.log"
    if text is not None:
        log.write_text(text)
    assert "killed, perhaps for its memory" in failure("rule", str(log))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("TIMEOUT", "over its time"),
        ("OUT_OF_MEMORY", "over its memory"),
        ("CANCELLED", "cancelled in SLURM"),
        ("NODE_FAIL", "its node failed"),
        ("FAILED", "killed, perhaps for its memory"),
    ],
)
def test_what_slurm_says_of_a_job_is_its_reason_unless_its_log_has_one(tmp_path, status, said):
    log, executor = tmp_path / "rule.log", f"SLURM-job '7' failed, SLURM status is: '{status}'. More."
    assert said in failure("rule", str(log), executor)
    log.write_text(LOG)
    assert "its subject is lost" in failure("rule", str(log), executor)


def test_the_end_names_what_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert where_to_look(["one", "two"]) == ""
    (tmp_path / "results/two/lens").mkdir(parents=True)
    (tmp_path / "results/two/lens/explorer.html").touch()
    first, last = where_to_look(["one", "two"]).splitlines()
    assert first.startswith("results/two/lens/explorer.html: ") and "--report results/report.html" in last


@pytest.mark.parametrize(
    ("error", "beginning"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "no room is left on the disk"),
        # As HDF5 says it.
        (
            OSError("Can't write data (errno = 28, error message = 'No space left on device')"),
            "no room is left",
        ),
        (MemoryError("Unable to allocate 9 GiB"), "not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "not enough memory"),
        (ValueError("one\ntwo"), "ValueError: one two"),
    ],
)
def test_errors_are_a_line_that_says_what_to_do(error, beginning):
    said = in_words(error)
    assert said.startswith(beginning) and "\n" not in said and type(error).__name__ in said


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    require("cpu"), require("auto")
    assert (usable("cpu"), usable("auto")) == ("cpu", "cpu")
    for device in ("cuda", "cuda:1"):
        with pytest.raises(
            RuntimeError, match="finds no GPU here; declare the model with device: cpu, or auto"
        ):
            usable(device)


def test_however_many_looks_for_jobs_are_asked_for_one_is_planned():
    """As Snakemake asks: behind every look, and whenever a job ends."""

    class Scheduler:
        def __init__(self):
            self._open_jobs = threading.Semaphore(0)

    one, other = Scheduler(), Scheduler()
    plan = plan_one_look()
    for _ in range(20):
        plan(one, 0.05)
    plan(other, 0.05)
    assert one._open_jobs.acquire(timeout=10) and other._open_jobs.acquire(timeout=10)
    time.sleep(0.2)
    assert not one._open_jobs.acquire(blocking=False)
    plan(one, 0.05)
    assert one._open_jobs.acquire(timeout=10), "and after it the next"


def test_snakemake_plans_looks_by_the_name_that_is_replaced():
    assert callable(JobScheduler._schedule_reevalutation)
