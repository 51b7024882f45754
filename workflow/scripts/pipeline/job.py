"""What every script of the pipeline does around its work: threads, its log, progress, errors."""

import errno
import json
import logging
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from io import TextIOWrapper
from pathlib import Path
from traceback import walk_tb

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from strata.inputs import in_one_line

COST = "cost "
"""What the line of a log begins with, behind its level, that says what the job cost."""


NO_ROOM = "no room is left on the disk (docs/costs.md says what a run takes)"
NO_MEMORY = (
    "not enough memory; text, trace and batch sizes are in config.yaml, what is needed in docs/costs.md"
)


def in_words(error: Exception) -> str:
    """The error in a line; what a machine lacks, with what to do."""
    said = in_one_line(f"{type(error).__name__}: {error}".replace("\n", " "))
    if getattr(error, "errno", None) == errno.ENOSPC or os.strerror(errno.ENOSPC) in said:
        return f"{NO_ROOM}: {said}"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"{NO_MEMORY}: {said}"
    return said


class Log(TextIOWrapper):
    """A log that a terminal shows harmlessly: prompts and tokens in it may hold its escapes."""

    def write(self, text: str) -> int:
        return super().write(re.sub(r"[^\n\r\t]+", lambda part: in_one_line(part[0]), text))


def in_a_file(error: Exception, paths: Iterable[str]) -> Exception:
    """What is wrong with one of a job's files, if the error came of reading HDF5; else the error itself.

    The error does not name the file, so that all are read.
    """
    names = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    in_hdf5 = any(name.partition(".")[0] in ("h5py", "h5netcdf") for name in names)
    if not in_hdf5 or in_words(error).startswith((NO_ROOM, NO_MEMORY)):
        return error
    from strata import io

    try:
        for path in paths:
            if Path(path).suffix in io.KINDS:
                io.check_whole(path)
    except io.BadFile as bad:
        return bad
    return error


@contextmanager
def job(snakemake) -> Iterator[Callable[[Iterable, str], Iterable]]:
    """Run a script's work with its output in its ``log:``; yields a progress bar maker.

    An error stands in the log in full, and on the terminal as one line. NumPy, and torch if the script has
    imported it, are held to the job's processors, and to those that there are: two jobs with two threads
    each on two cores are several times slower than one after the other. The log's last line says what
    the job cost: seconds of CPU, of which before its work began (imports), and the most memory that it
    held.
    """
    imports = time.process_time()
    os.nice(snakemake.resources.get("nice", 0))
    with ExitStack() as stack:
        file = stack.enter_context(open(snakemake.log[0], "wb"))
        log = stack.enter_context(Log(file, encoding="utf-8"))
        stack.enter_context(redirect_stderr(log))
        stack.enter_context(redirect_stdout(log))
        logging.basicConfig(stream=log, level=logging.INFO, force=True)
        threads = min(snakemake.resources.get("processors", snakemake.threads), os.cpu_count())
        threadpool_limits(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)  # of what the job loads later
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)

        def progress(items: Iterable, what: str) -> Iterable:
            return tqdm(items, desc=what, file=log, mininterval=1.0)

        try:
            yield progress
        except Exception as error:
            logging.exception("%s failed", snakemake.rule)
            said = in_words(in_a_file(error, snakemake.input))
            print(said)  # the log's last line: the run ends with it
            sys.exit(f"{snakemake.rule}: {said} (all of it: {snakemake.log[0]})")
        cost = {
            "rule": snakemake.rule,
            "cpu_s": round(time.process_time(), 2),
            "imports_s": round(imports, 2),
            "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        logging.info("%s%s", COST, json.dumps(cost))
