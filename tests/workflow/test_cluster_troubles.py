"""What happens to jobs and nodes of a cluster: each ends in a right result, or in one clear line."""

import filecmp
import signal
import threading

import pytest
from one_node import wait_until
from test_cluster import fresh_copy

pytestmark = pytest.mark.long

FILES = {
    "gather_text": ("text", "text/token_counts.tsv"),
    "tag_text": ("syntax", "syntax/text.nc"),
    "extract_weights": ("extract", "weights.h5"),
    "curate_prompts": ("prompts", "prompts.tsv"),
}
"""Rules that need no other: their scripts' folders, and what they make."""

TROUBLE = """\
import time
from pathlib import Path

Path("begun-{rule}").touch()
while Path("hold-{rule}").exists():
    time.sleep(0.1)
if Path("hungry-{rule}").exists():
    eaten = b"x" * 2_200_000_000
    time.sleep(5)
"""
"""What a script does first, if a file tells it to: wait, or hold more memory than a first attempt may."""


@pytest.fixture
def here(node, project, tmp_path):
    """A fresh copy of the small project in which jobs can be held."""
    copy = fresh_copy(project, tmp_path / "project")
    for rule, (folder, _) in FILES.items():
        script = copy.folder / f"workflow/scripts/{folder}/{rule}.py"
        script.write_text(TROUBLE.format(rule=rule) + script.read_text())
    return copy.folder


def made(rule, folder):
    return folder / "results/organism" / FILES[rule][1]


def targets(*rules):
    return ["--", *(f"results/organism/{FILES[rule][1]}" for rule in rules)]


def jobs_of(node, rule, folder):
    return [job for job in node.jobs(folder) if job["Rule"] == rule]


def assert_right(project, folder, *rules):
    """What was made is, byte for byte, what an undisturbed run on one machine makes."""
    for rule in rules:
        assert filecmp.cmp(made(rule, folder), made(rule, project.folder), shallow=False), rule


def test_what_slurm_ends_is_said_in_a_line_each_and_made_by_the_next_run(node, project, here):
    rules = ("extract_weights", "gather_text", "curate_prompts")
    for file in ("hold-extract_weights", "hungry-gather_text", "hold-curate_prompts"):
        (here / file).touch()
    once = ("--retries", "0", "--keep-going", "--set-resources", "curate_prompts:runtime=1")
    run = node.snakemake(here, *once, *targets(*rules))
    wait_until((here / "begun-extract_weights").exists, "the job that will be cancelled")
    node.run("scancel", jobs_of(node, "extract_weights", here)[0]["JobId"])
    said, _ = run.communicate()
    assert run.returncode == 1
    assert set(said.splitlines()[-3:]) == {
        "extract_weights failed: it was cancelled in SLURM (log: logs/organism/extract_weights.log)",
        # Where SLURM does not watch memory by cgroups, it says no more than that the job failed.
        "gather_text failed: it left no message: killed, perhaps for its memory (docs/costs.md says what is "
        "needed) (log: logs/organism/gather_text.log)",
        "curate_prompts failed: SLURM ended it, over its time (runtime in docs/cluster.md) "
        "(log: logs/organism/curate_prompts.log)",
    }
    assert not any(made(rule, here).exists() for rule in rules)

    for file in ("hold-extract_weights", "hold-curate_prompts"):
        (here / file).unlink()
    run = node.snakemake(here, *targets(*rules))
    said, _ = run.communicate()
    assert run.returncode == 0, said
    assert " failed: " not in said, "a later attempt made it good"
    memory = [int(job["MinMemoryNode"][:-1]) for job in jobs_of(node, "gather_text", here)]
    assert memory[2] == 2 * memory[1] == 2 * memory[0]
    assert_right(project, here, *rules)


def test_a_killed_run_is_taken_up_and_nothing_finished_is_made_again(node, project, here):
    rules = tuple(FILES)
    for file in ("hold-gather_text", "hold-tag_text"):
        (here / file).touch()
    run = node.snakemake(here, *targets(*rules))
    for line in run.stdout:
        if "2 of 4 steps" in line:
            break
    wait_until(lambda: all((here / f"begun-{rule}").exists() for rule in rules), "all jobs")
    run.send_signal(signal.SIGKILL)
    run.communicate()
    (here / "hold-tag_text").unlink()  # it finishes, and nobody is there to see it
    wait_until(lambda: jobs_of(node, "tag_text", here)[0]["JobState"] == "COMPLETED", "the job that goes on")
    finished = {rule: made(rule, here).stat() for rule in ("extract_weights", "curate_prompts")}
    unseen = made("tag_text", here).stat()

    run = node.snakemake(here, *targets(*rules))
    release = threading.Timer(300, (here / "hold-gather_text").unlink, kwargs={"missing_ok": True})
    release.start()
    said = []
    for line in run.stdout:
        said.append(line)
        if "taken up again" in line:
            (here / "hold-gather_text").unlink()
    release.cancel()
    assert run.wait() == 0, "".join(said)
    assert "1 of its jobs cancelled on the cluster, 1 files removed that no job had finished" in "".join(said)
    for rule, before in finished.items():
        assert made(rule, here).stat().st_mtime_ns == before.st_mtime_ns, rule
    assert made("tag_text", here).stat().st_mtime_ns > unseen.st_mtime_ns
    assert jobs_of(node, "gather_text", here)[0]["JobState"] == "CANCELLED"
    assert_right(project, here, *rules)


def test_a_job_whose_node_was_lost_is_begun_again_when_it_returns(node, project, here):
    (here / "hold-gather_text").touch()
    run = node.snakemake(here, *targets("gather_text"))
    wait_until((here / "begun-gather_text").exists, "the job")
    node.lose_power()
    (here / "hold-gather_text").unlink()
    node.start_slurmd()
    said, _ = run.communicate()
    assert run.returncode == 0, said
    [job] = jobs_of(node, "gather_text", here)
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")
    assert_right(project, here, "gather_text")
