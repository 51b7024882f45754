"""Scripts run in forks of a process that has imported their libraries: most of a small job's time.

A fork shares the libraries' memory, and is a process of its own: its threads, log and end are as ever. Where
jobs have software of their own (conda, a container) and on the nodes of a cluster, each starts Python itself.
"""

import gc
import multiprocessing
import os
import runpy
import subprocess
import sys
import threading
from contextlib import nullcontext
from multiprocessing.connection import wait

from snakemake.benchmark import benchmarked
from snakemake.script import PythonScript

LIBRARIES = (
    "snakemake.cli",  # which Python runs a fork's main module from, and the preamble of a script reads
    "accelerate.utils",
    "h5netcdf",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "pandas",
    "scipy.stats",
    "seaborn",
    "sklearn.decomposition",
    "torch",
    "transformers.modeling_utils",
    "xarray",
)


def run_scripts_in_forks() -> None:
    """Let Snakemake run scripts so, from now on in this process."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([*LIBRARIES])
    one_at_a_time = threading.Lock()
    by_itself = PythonScript.execute_script

    def execute_script(self: PythonScript, fname: str, edit: bool = False) -> None:
        if self.conda_env or self.container_img or self.env_modules:
            return by_itself(self, fname, edit)
        process = forks.Process(target=_run, args=(fname, os.getcwd(), dict(os.environ)))
        # One thread at a time: a start asks for the exit of all other processes, which can be read only once.
        with one_at_a_time:
            process.start()
        record = self.bench_record
        with nullcontext() if record is None else benchmarked(process.pid, record):
            wait([process.sentinel])
        with one_at_a_time:
            process.join()
        if process.exitcode:
            raise subprocess.CalledProcessError(process.exitcode, fname)

    PythonScript.execute_script = execute_script


def _run(path: str, folder: str, environment: dict[str, str]) -> None:
    """Run a script in this process, as Python would."""
    gc.freeze()  # what is imported stays: no search for waste need look at it, nor unshare its memory
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [path]
    sys.path[0] = os.path.dirname(path)
    runpy.run_path(path, run_name="__main__")
