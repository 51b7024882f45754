"""A dry run that fits on a page: Snakemake prints its table of jobs before the jobs, and again after them."""

import logging

from snakemake.logging import logger


def print_jobs_once() -> None:
    """Let Snakemake log no table of jobs a second time."""
    logged: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if not message.startswith("Job stats:"):
            return True
        again = message in logged
        logged.add(message)
        return not again

    logger.addFilter(is_new)
