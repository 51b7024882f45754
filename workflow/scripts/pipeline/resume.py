"""A run that was killed is taken up again: what it left behind is put away before anything is planned."""

import atexit
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from snakemake.io import IOFile
from snakemake.persistence.file import FilePersistence

STATE = Path(".snakemake")


def hold_folder(tell: Callable[[str], None]) -> bool:
    """Hold the folder as one of its runs, until this process ends; after a killed run, clear it first.

    Snakemake's own locks do not say whose they are, so that those of a killed run would have to be removed by
    hand. The system releases this one however a process ends. Where the file system has no such locks,
    nothing is cleared, and Snakemake says what to do.

    Returns
    -------
    Whether it is held: locks that Snakemake finds are then those of a run that is at work.
    """
    STATE.mkdir(exist_ok=True)
    file = (STATE / "running").open("w")
    atexit.register(file.close)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # another run is at work here, maybe on something else: Snakemake judges that
    except OSError:
        return False
    else:
        _clear(tell)
    fcntl.flock(file, fcntl.LOCK_SH)
    return True


def _clear(tell: Callable[[str], None]) -> None:
    """Put away what a killed run left: its jobs, what nobody saw finished, its locks."""
    locks = sorted((STATE / "locks").glob("*.lock"))
    if not locks:
        return
    jobs = cancel_jobs()
    files = [path for lock in locks if ".output." in lock.name for path in _unfinished(lock)]
    for path in files:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for lock in locks:
        lock.unlink()
    tell(
        "The last run here was killed. It is taken up again: "
        f"{jobs} of its jobs cancelled on the cluster, {len(files)} files removed that no job had finished."
    )


def _unfinished(lock: Path) -> list[Path]:
    """Files that a run has written, or its jobs, and that it did not come to record as finished.

    A job on a cluster may finish after the run that would have recorded how its files were made.
    """
    records = FilePersistence(path=STATE.absolute())
    began = lock.stat().st_mtime

    def is_unfinished(path: Path) -> bool:
        if not path.exists() or (written := path.stat().st_mtime) < began:
            return False
        record = records.metadata(IOFile(str(path)))
        return record is None or record.endtime < written

    return [path for path in map(Path, lock.read_text(encoding="utf-8").splitlines()) if is_unfinished(path)]


def cancel_jobs() -> int:
    """Cancel the jobs that runs in this folder have left to SLURM, and wait for their end; how many.

    Raises
    ------
    SystemExit
        One line, if SLURM does not answer.
    """
    if not (STATE / "slurm_logs").is_dir() or shutil.which("squeue") is None:
        return 0
    left = jobs = _jobs_here()
    if jobs:
        _slurm("scancel", *jobs)
    while left:
        time.sleep(1)
        left = _jobs_here()
    return len(jobs)


def _jobs_here() -> list[str]:
    """Ids of this user's jobs that the executor has submitted from this folder and that have not ended."""
    lines = _slurm("squeue", "--me", "--noheader", "--format=%A|%k|%Z").splitlines()
    jobs = [line.split("|", 2) for line in lines]
    here = os.path.realpath(os.curdir)
    return [id for id, comment, folder in jobs if comment[:5] == "rule_" and os.path.realpath(folder) == here]


def _slurm(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip()
        sys.exit(f"{command[0]}: {said} (the run before was killed, and may have jobs there)")
    return done.stdout
