"""What every start of the pipeline sets up before it reads anything."""

import logging
import os
from pathlib import Path

from snakemake.logging import logger


def prepare(scripts: Path) -> None:
    """Set up jobs' environment, and let Snakemake print its table of jobs once.

    Parameters
    ----------
    scripts : the folder from which scripts import the library, wherever they run
    """
    paths = [str(scripts), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    # Threads that wait must not spin: jobs share the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _print_jobs_once()


def _print_jobs_once() -> None:
    """A dry run prints the table before the jobs and again after them: a plan is to fit on a page."""
    logged: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if not message.startswith("Job stats:"):
            return True
        again = message in logged
        logged.add(message)
        return not again

    logger.addFilter(is_new)
