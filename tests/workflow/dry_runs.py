"""Snakemake in forks of one process that has it loaded: a dry run costs its own work, and no imports.

The process knows nothing of Strata: each fork imports the library from the folder that it runs in.
"""

import gc
import json
import os
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path


class DryRuns:
    """A process that forks; to be asked by one thread at a time."""

    def __init__(self):
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
        """What ``snakemake ARGUMENTS`` gives in a folder."""
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as out:
            request = {"folder": str(folder), "arguments": arguments, "out": out.name}
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
            code = int(self._server.stdout.readline())
            return subprocess.CompletedProcess(arguments, code, out.read(), "")

    def close(self) -> None:
        """End the process."""
        self._server.stdin.close()
        self._server.wait()


def _serve() -> None:
    from snakemake import cli

    for name in ("conllu", "jsonschema", "pandas", "safetensors", "snakemake.benchmark", "snakemake.storage"):
        import_module(name)
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(cli, **request)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(cli, folder: str, arguments: list[str], out: str) -> None:
    """Run snakemake's command line in this fork, and end with it."""
    os.chdir(folder)
    written = os.open(out, os.O_WRONLY)
    os.dup2(written, 1)
    os.dup2(written, 2)
    sys.argv = ["snakemake", *arguments]
    code = 1
    try:
        cli.main(arguments)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = 0 if end.code is None else end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
