"""What every script of the pipeline does around its work: threads, its log, progress, errors."""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout

from tqdm import tqdm


@contextmanager
def job(snakemake) -> Iterator[Callable[[Iterable, str], Iterable]]:
    """Run a script's work with its output in its ``log:``; yields a progress bar maker.

    An error stands in the log in full, and on the terminal as one line. Torch, if the script has
    imported it, is held to the rule's threads: two jobs with two threads each on two cores are
    several times slower than one after the other.
    """
    with ExitStack() as stack:
        log = stack.enter_context(open(snakemake.log[0], "w", encoding="utf-8"))
        stack.enter_context(redirect_stderr(log))
        stack.enter_context(redirect_stdout(log))
        logging.basicConfig(stream=log, level=logging.INFO, force=True)
        os.environ["OMP_NUM_THREADS"] = str(snakemake.threads)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(snakemake.threads)

        def progress(items: Iterable, what: str) -> Iterable:
            return tqdm(items, desc=what, file=log, mininterval=1.0)

        try:
            yield progress
        except Exception as error:
            logging.exception("%s failed", snakemake.rule)
            sys.exit(f"{snakemake.rule}: {type(error).__name__}: {error} (all of it: {snakemake.log[0]})")
