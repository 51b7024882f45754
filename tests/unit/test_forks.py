"""Scripts in forks: as Python would run them, but that their libraries are imported already."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"
SNAKEFILE = f"""\
import sys
sys.path.insert(0, {str(SCRIPTS)!r})
from pipeline.forks import run_scripts_in_forks
run_scripts_in_forks()

rule all:
    input: "one.json", "two.json"

rule tell:
    output: "{{name}}.json"
    benchmark: "{{name}}.tsv"
    script: "tell.py"

rule fail:
    output: "failed"
    script: "fail.py"
"""
TELL = """\
import json, os, sys
at_first = sorted({"torch", "xarray", "seaborn"} & set(sys.modules))
told = {"modules": at_first, "name": snakemake.wildcards.name, "process": os.getpid(), "argv": sys.argv,
        "main": __name__, "folder": os.getcwd(), "variable": os.environ["VARIABLE"]}
with open(snakemake.output[0], "w") as file:
    json.dump(told, file)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("forks")
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "tell.py").write_text(TELL)
    (folder / "fail.py").write_text("import os\nprint('about to end')\nos._exit(3)\n")
    return folder


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    environment = {"VARIABLE": "passed on", "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_each_script_is_a_process_that_has_its_libraries(folder):
    done = snakemake(folder)
    assert done.returncode == 0, done.stderr
    told = [json.loads((folder / f"{name}.json").read_text()) for name in ("one", "two")]
    assert [each["name"] for each in told] == ["one", "two"]
    assert told[0]["process"] != told[1]["process"]
    for each in told:
        assert each["modules"] == ["seaborn", "torch", "xarray"]
        assert each["main"] == "__main__" and each["argv"][0].endswith("tell.py") and len(each["argv"]) == 1
        assert each["folder"] == str(folder) and each["variable"] == "passed on"
    measured = (folder / "one.tsv").read_text().splitlines()
    assert len(measured) == 2 and measured[0].startswith("s\t")


@pytest.mark.long
def test_a_script_that_ends_badly_fails_its_job_alone(folder):
    done = snakemake(folder, "--keep-going", "failed", "one.json", "--forcerun", "tell", "fail")
    assert done.returncode != 0 and "exit status 3" in done.stderr
    assert "Finished jobid" in done.stderr and not (folder / "failed").exists()


def test_without_scripts_no_library_is_imported(folder):
    """A plan does not wait for them."""
    code = "import sys, pipeline.forks as f; f.run_scripts_in_forks(); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={"PYTHONPATH": str(SCRIPTS)}, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
