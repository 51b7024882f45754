"""The house is in order: linters, formatters and types are clean, pins agree, the README's commands exist."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.figure_table import expand_figures

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DEPENDENCIES = runpy.run_path(str(ROOT / ".ci/check_dependencies.py"))


def run(*command: str, **environment: str) -> subprocess.CompletedProcess:
    program = shutil.which(command[0], path=str(BIN))
    assert program, f"{command[0]} is not installed beside {sys.executable}"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}/workflow/scripts:{ROOT}/docs"} | environment
    return subprocess.run(
        [program, *command[1:]], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "command",
    [
        "ruff check .",
        "ruff format --check .",
        "mypy",
        "snakefmt --check Snakefile workflow",
        "snakemake --lint",
    ],
)
def test_linters_are_clean(command):
    done = run(*command.split())
    assert done.returncode == 0, done.stdout + done.stderr


def pins(text: str) -> set[str]:
    return set(re.findall(r"^\s*(?:- )?([\w-]+==[\w.]+)$", text, re.M))


def test_conda_environment_has_the_same_pins():
    required = pins((ROOT / "requirements.txt").read_text())
    assert required == pins((ROOT / "envs/strata.yaml").read_text())
    assert len(required) == len((ROOT / "requirements.txt").read_text().splitlines()) - 1


def test_installed_versions_are_the_pinned_ones():
    from importlib.metadata import version

    for pin in pins((ROOT / "requirements.txt").read_text()):
        name, wanted = pin.split("==")
        assert version(name).split("+")[0] == wanted, name


def test_container_has_what_the_conda_environment_has():
    definition = (ROOT / "envs/strata.def").read_text()
    [python] = re.findall(r"^From: python:([\d.]+)-", definition, re.M)
    assert f"- python={python}\n" in (ROOT / "envs/strata.yaml").read_text()
    [source, copied] = re.search(r"^%files\n +(\S+) (\S+)$", definition, re.M).groups()
    assert source == "requirements.txt" and (ROOT / source).is_file()
    assert re.search(rf"^%post\n +python -m pip install .*--requirement {copied}$", definition, re.M)


def test_the_lines_of_the_profile_that_users_edit_are_in_the_readme_and_the_docs():
    profile = (ROOT / "profiles/slurm/config.yaml").read_text()
    lines = re.findall(r"^  (?:# )?- (\w+=\w+)$", profile, re.M)
    assert [line.partition("=")[0] for line in lines] == ["slurm_partition", "slurm_account", "gpu_model"]
    for line in lines:
        assert f"`{line}`" in (ROOT / "docs/cluster.md").read_text()
        assert f"`{line.partition('=')[0]}`" in (ROOT / "README.md").read_text()


def test_the_index_of_figures_is_of_the_table():
    done = run("python", "-c", "import write_figures; print(write_figures.figures_page(), end='')")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (ROOT / "docs/figures.md").read_text(), "run `make docs`"


def test_figures_stand_in_a_report_as_in_their_table():
    """Reports sort by label."""
    table, config = (
        yaml.safe_load((ROOT / name).read_text()) for name in ("workflow/figures.yaml", "config.yaml")
    )
    figures = expand_figures(table, config)
    for section in {figure.section for figure in figures}:
        labels = [figure.labels["figure"] for figure in figures if figure.section == section]
        # Those of one row, each of a prompt or a colouring, come in whatever order.
        assert [label[:2] for label in labels] == sorted(label[:2] for label in labels)
        assert len({label[:2] for label in labels}) == sum(
            row["section"] == section for row in table.values()
        )


def test_readme_commands_are_real():
    readme = (ROOT / "README.md").read_text()
    rules = re.findall(r"^([\w ]+):", (ROOT / "Makefile").read_text(), re.M)
    targets = {target for rule in rules for target in rule.split()}
    for target in re.findall(r"^    make ?(\w*)", readme, re.M):
        assert (target or "all") in targets
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    for model in re.findall(r"run=\[([\w.-]+)\]", readme):
        assert model in config["models"]


def test_readme_line_of_installation_is_what_make_does():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    [line] = re.findall(r"^    python3.11 -m venv .*pip (install .*)$", readme, re.M)
    assert line.replace("install", "install --quiet") in makefile
    done = run("python", "-m", "pip", *line.split(), "--dry-run", "--no-index")  # what is here already
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_readme_snakemake_commands_plan_without_error(tmp_path):
    """On a machine that has what the README brings first, and no network."""
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^    (snakemake .*)$", readme, re.M)
    assert commands
    snapshot = tmp_path / "hub/models--openai-community--gpt2/snapshots/0"
    for file in (snapshot / "config.json", snapshot / "model.safetensors", snapshot / "../../refs/main"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("0")
    for command in commands:
        arguments = [part.strip("'\"") for part in command.split("#")[0].split()[1:]]
        done = run("snakemake", "-n", *arguments, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
        said = done.stdout + done.stderr
        missing = re.search(r"`make (\w+)` brings it", said)
        assert done.returncode == 0 or (missing and f"    make {missing.group(1)}" in readme), said


@pytest.mark.parametrize(
    ("package", "licence", "fits"),
    [
        ("a", "BSD-3-Clause AND MIT", True),
        ("a", "Apache Software License; MIT License", True),
        ("a", "UNKNOWN", False),
        ("a", "MIT AND AGPL-3.0", False),
        ("a", "GPLv2+", False),
        ("diptest", "GPLv2+", True),
        ("diptest", "GPLv3", False),
    ],
)
def test_licences_that_do_not_fit_are_named(package, licence, fits):
    faults = DEPENDENCIES["of_other_licences"]([{"Name": package, "License": licence}])
    assert [fault.partition(":")[0] for fault in faults] == ([] if fits else [package])


def test_known_vulnerabilities_are_named_and_what_is_not_known_is_said():
    audited = [
        {"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]},
        {"name": "b", "version": "1", "vulns": []},
        {"name": "c", "skip_reason": "not found"},
    ]
    assert DEPENDENCIES["vulnerable"](audited) == (["a 1: X-1 (mended in 2)"], ["c"])


def test_licences_of_what_is_pinned_fit():
    packages = DEPENDENCIES["pinned"](ROOT)
    assert {"torch", "hypothesis"} <= set(packages)
    done = run("pip-licenses", "--format=json", "--packages", *packages)
    assert DEPENDENCIES["of_other_licences"](json.loads(done.stdout)) == []
