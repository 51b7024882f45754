"""What every start of the pipeline sets up before it reads anything, and what it tells at start and end."""

import atexit
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from snakemake.logging import logger
from snakemake.scheduling.job_scheduler import JobScheduler
from snakemake.settings.types import DeploymentMethod
from snakemake_interface_logger_plugins.common import LogEvent

from pipeline.forks import run_scripts_in_forks
from pipeline.resume import hold_folder
from strata.inputs import in_one_line

if TYPE_CHECKING:
    from snakemake.workflow import Workflow

START = (
    "Strata analyses {models}: minutes for the organism on two cores, about an hour for one of GPT-2's size "
    "(docs/costs.md).\nFigures and data come to results/MODEL/; what each job says is in logs/MODEL/."
)
REPORT = "All in one page: snakemake --cores 1 --report results/report.html"
ANOTHER_RUN = "another run is at work here on the same files (expected: one at a time)"
KILLED = "it left no message: killed, perhaps for its memory (docs/costs.md says what is needed)"
IMAGE = "envs/strata.sif"
"""The container that scripts run in, from the project's folder."""

ENDED = {
    "TIMEOUT": "SLURM ended it, over its time (runtime in docs/cluster.md)",
    "OUT_OF_MEMORY": "SLURM ended it, over its memory (mem_mb in docs/cluster.md)",
    "CANCELLED": "it was cancelled in SLURM",
    "NODE_FAIL": "its node failed",
}
"""What SLURM says of a job that it ended, in words."""


def prepare(scripts: Path, workflow: "Workflow") -> None:
    """Set up jobs' environment and what is told.

    Snakemake prints its table of jobs once; a run begins with what happens, and ends with where the answers
    are or with what failed.

    Parameters
    ----------
    scripts : the folder from which scripts import the library, wherever they run
    """
    paths = [str(scripts), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    # Threads that wait must not spin: jobs share the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    def models() -> list[str]:  # the configuration is read later
        return workflow.globals["config"]["run"]

    workflow.onstart(lambda log: _tell(START.format(models=", ".join(models()))))
    workflow.onsuccess(lambda log: _tell(where_to_look(models())))
    _print_jobs_once()
    _end_with_failures(workflow)
    # Snakemake 9 plans another look behind each, and one whenever a job ends: ever more of them.
    JobScheduler._schedule_reevalutation = plan_one_look()
    if workflow.is_main_process and not workflow.output_settings.dryrun:
        _hold_folder_once_it_runs()
        run_scripts_in_forks()


def container(workflow: "Workflow") -> str | None:
    """The image that scripts run in, where `--sdm apptainer` asks for one.

    Raises
    ------
    SystemExit
        One line, if it was not built.
    """
    if DeploymentMethod.APPTAINER not in workflow.deployment_settings.deployment_method:
        return None
    image = Path(workflow.basedir) / IMAGE
    if not image.is_file():
        sys.exit(f"{image}: no such file (`make container` builds it, where apptainer is)")
    return os.path.relpath(image)  # Snakemake takes no path with spaces in it


def where_to_look(models: Iterable[str]) -> str:
    """What to open, of what is there: nothing, if only a part was made."""
    pages = {"claims": "what holds of it", "lens/explorer": "every prompt, depth by depth"}
    lines = [
        f"{path}: {told}"
        for model in models
        for page, told in pages.items()
        if (path := Path(f"results/{model}/{page}.html")).exists()
    ]
    return "\n".join([*lines, REPORT]) if lines else ""


def _tell(text: str) -> None:
    if text:
        print(text, file=sys.stderr, flush=True)


def _hold_folder_once_it_runs() -> None:
    """Only what runs jobs says that it starts; that is before it looks at locks and at what is there."""

    def heard(record: logging.LogRecord) -> bool:
        if getattr(record, "event", None) == LogEvent.WORKFLOW_STARTED:
            check_writable()
            if hold_folder(_tell):
                logger.addFilter(_without_advice)
        return True

    logger.addFilter(heard)


def _without_advice(record: logging.LogRecord) -> bool:
    """Snakemake advises to remove the locks of a run that is at work."""
    if record.getMessage().startswith("LockException"):
        record.msg, record.args = ANOTHER_RUN, ()
    return True


def check_writable(folders: Iterable[str] = ("results", "logs", ".snakemake")) -> None:
    """Check that a run can write where it does.

    Raises
    ------
    SystemExit
        One line.
    """
    for folder in folders:
        place = folder if os.path.lexists(folder) else os.curdir
        if not (os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK)):
            sys.exit(f"{folder}: cannot be written to (expected: a folder, or room for one, of this user's)")


def plan_one_look() -> Callable[[JobScheduler, float], None]:
    """A function that plans a scheduler's next look for jobs, so many seconds from now: one at a time."""
    lock, planned = threading.Lock(), set()

    def plan(scheduler: JobScheduler, delay: float) -> None:
        def look() -> None:
            with lock:
                planned.remove(scheduler)
            scheduler._open_jobs.release()

        with lock:
            if scheduler in planned:
                return
            planned.add(scheduler)
        timer = threading.Timer(delay, look)
        timer.daemon = True  # the end of a run need not wait for it
        timer.start()

    return plan


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


def _end_with_failures(workflow: "Workflow") -> None:
    """Print last what matters of a run that fails: Snakemake says more about it, much of that later.

    What a later attempt made good is no failure.
    """
    failures: dict[int, str] = {}

    def heard(record: logging.LogRecord) -> bool:
        event = getattr(record, "event", None)
        if event == LogEvent.JOB_ERROR and record.log:
            makers = {str(path): job.rule.name for job in workflow.dag.jobs for path in job.output}
            failures[record.jobid] = failure(record.rule_name, record.log[0], record.rule_msg, makers)
        elif event == LogEvent.JOB_FINISHED:
            failures.pop(record.job_id, None)
        return True

    logger.addFilter(heard)
    atexit.register(lambda: _tell("\n".join(failures.values())))


def failure(
    rule: str, log: str, said: str | None = None, makers: Mapping[str, str] = MappingProxyType({})
) -> str:
    """One line: which rule failed, why, and where its log is.

    The reason is the last line of the log, where that ends with an error; or what SLURM says of the job. Of a
    file that cannot be used, also what makes it again.

    Parameters
    ----------
    said : what the executor says of the job
    makers : the rule behind each file
    """
    path = Path(log)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    raised = any(line.startswith("Traceback") for line in lines)
    status = re.search("SLURM status is: '([A-Z_]+)", said or "")
    ended = ENDED.get(status[1], KILLED) if status else KILLED
    why = next(filter(None, reversed(lines)), "") if raised else ended
    if bad := re.match(r"(?:\S+\.)?BadFile: (\S+): ", why):
        why += f": delete it: {makers[bad[1]]} makes it again" if bad[1] in makers else ""
    return f"{rule} failed: {in_one_line(why)} (log: {log})"
