"""Runs of the small project that are killed, and what a run has left: for tests short and long."""

import os
import random
import signal
import subprocess
import sys
from base64 import urlsafe_b64decode
from pathlib import Path

from small_project import Project


def start(project: Project, *arguments: str) -> subprocess.Popen:
    """A run in a process group of its own; all that it says is its ``stdout``."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}
    said = subprocess.PIPE
    return subprocess.Popen(
        command,
        cwd=project.folder,
        env=environment,
        stdout=said,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def begins(run: subprocess.Popen) -> None:
    """Wait until the first jobs are begun, or the run ends."""
    next((line for line in run.stdout if line.startswith("Execute ")), None)


def cancel(run: subprocess.Popen) -> str:
    """Cancel a run, which ends its jobs; what it said."""
    run.send_signal(signal.SIGINT)
    return run.communicate()[0]


def cancelled_at_random(project: Project, targets: list[str], longest: float, draw: random.Random) -> bool:
    """Start a run and cancel it at a random moment; whether it was before its end."""
    run = start(project, *targets)
    begins(run)
    try:
        run.wait(draw.uniform(0, longest))
    except subprocess.TimeoutExpired:
        said = cancel(run)
        assert "Terminating processes on user request" in said, said
        return True
    run.communicate()
    return False


def killed_at_random(project: Project, targets: list[str], n_kills: int, longest: float, seed: int) -> int:
    """Start a run again and again, and kill each at a random moment; how many were killed before their end.

    Nothing that was finished when a run was killed is made again by the next.

    Parameters
    ----------
    longest : seconds that a run has at most, from its first job on
    """
    draw, killed = random.Random(seed), 0
    for _ in range(n_kills):
        before = finished(project.folder)
        run = start(project, *targets)
        begins(run)
        try:
            run.wait(draw.uniform(0, longest))
        except subprocess.TimeoutExpired:
            killed += 1
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        assert_untouched(before, project.folder)
    return killed


def finished(folder: Path) -> dict[str, int]:
    """When each file of results was written that Snakemake knows to be whole, by its path.

    A file that is made again has a record of the time before and, until its job has ended, a mark.
    """
    state = folder / ".snakemake"
    return {
        path: (folder / path).stat().st_mtime_ns
        for path in recorded(state / "metadata") - recorded(state / "incomplete")
        if path.startswith("results/") and (folder / path).is_file()
    }


def recorded(folder: Path) -> set[str]:
    """The paths that Snakemake's records in a folder are of; a long path is a record in folders of ``@``."""
    names = [path.relative_to(folder).parts for path in folder.rglob("*") if path.is_file()]
    return {urlsafe_b64decode("".join(part.removeprefix("@") for part in name)).decode() for name in names}


def assert_untouched(before: dict[str, int], folder: Path) -> None:
    """What was finished is as it was, to the nanosecond."""
    now = {path: (folder / path).stat().st_mtime_ns for path in before if (folder / path).exists()}
    assert now == before


def contents(folder: Path) -> dict[str, bytes]:
    """All files of results, by their paths; of what was trained, whose logs tell times, nothing."""
    results = folder / "results"
    return {
        str(path.relative_to(results)): path.read_bytes()
        for path in sorted(results.rglob("*"))
        if path.is_file() and path.name != "report.html" and path.relative_to(results).parts[0] != "training"
    }


def assert_same(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    """The same files, byte for byte."""
    assert one.keys() ^ other.keys() == set()
    assert [name for name in one if one[name] != other[name]] == []
