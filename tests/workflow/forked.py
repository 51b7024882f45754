"""Snakemake as ever, but that scripts run in forks of one process that has imported the libraries already.

Most of a tiny job's time is imports. Run as ``python forked.py``, in the place of ``python -m snakemake``.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import threading
from contextlib import nullcontext
from multiprocessing.connection import wait

LIBRARIES = (
    "torch",
    "transformers.modeling_utils",
    "xarray",
    "pandas",
    "h5netcdf",
    "scipy.stats",
    "sklearn.decomposition",
)
DRAWING = ("seaborn", "matplotlib.backends.backend_svg", "matplotlib.backends.backend_agg")


def run_script(path: str, folder: str, environment: dict[str, str]) -> None:
    """Run one script in this process, as Python would."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [path]
    sys.path[0] = os.path.dirname(path)
    runpy.run_path(path, run_name="__main__")


def main() -> None:
    """Run Snakemake with this process's arguments."""
    from snakemake import script
    from snakemake.benchmark import benchmarked
    from snakemake.cli import main as snakemake

    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([*LIBRARIES, *DRAWING])
    one_at_a_time = threading.Lock()

    def execute_script(self, fname: str, edit: bool = False) -> None:
        process = forks.Process(target=run_script, args=(fname, os.getcwd(), dict(os.environ)))
        # One thread at a time: a start asks for the exit of all other processes, which can be read only once.
        with one_at_a_time:
            process.start()
        measured = self.bench_record is not None
        with benchmarked(process.pid, self.bench_record) if measured else nullcontext():
            wait([process.sentinel])
        with one_at_a_time:
            process.join()
        if process.exitcode:
            raise subprocess.CalledProcessError(process.exitcode, fname)

    script.PythonScript.execute_script = execute_script
    snakemake()


if __name__ == "__main__":
    main()
