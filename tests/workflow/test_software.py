"""Where jobs get their software from, besides the environment that Snakemake runs in."""

import os
import subprocess
import sys

import pytest

RESULT = "results/organism/text/text.nc"
APPTAINER = """\
#!/bin/sh
[ "$1" = --version ] && echo "apptainer version 1.3.4" && exit
echo "$@" >> {log}
while [ "$1" != {image} ]; do shift; done
shift
exec "$@"
"""
"""In apptainer's place: says what it was asked, and runs it on this machine."""


@pytest.fixture
def run(project, tmp_path):
    """make a result again in containers; with its image, or without."""
    copy = project.copy(tmp_path / "project")
    copy.dry_runs.close()
    image, program = "envs/strata.sif", tmp_path / "bin/apptainer"
    program.parent.mkdir()
    program.write_text(APPTAINER.format(log=tmp_path / "asked", image=image))
    program.chmod(0o755)

    def run(has_image: bool) -> subprocess.CompletedProcess:
        if has_image:
            (copy.folder / image).touch()
        command = ["-m", "snakemake", "--cores", "1", "--sdm", "apptainer", "--force", "--", RESULT]
        environment = os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}"}
        return subprocess.run(
            [sys.executable, *command],
            cwd=copy.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_script_runs_in_the_image(run, tmp_path):
    done = run(has_image=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [asked] = (tmp_path / "asked").read_text().splitlines()
    assert asked.startswith("exec ") and "envs/strata.sif" in asked and "gather_text.py" in asked


@pytest.mark.long
def test_without_the_image_it_is_said_in_a_line_how_to_make_it(run):
    done = run(has_image=False)
    said = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow")]
    assert done.returncode != 0 and len(said) == 1
    assert said[0].endswith("envs/strata.sif: no such file (`make container` builds it, where apptainer is)")
