"""Every recipe of CONTRIBUTING.md, followed in a copy of the project: what it adds is there, and runs."""

import shutil
import subprocess
import sys

import pandas as pd
import pytest
import xarray as xr
import yaml
from small_project import ROOT

from oracles.recipes import apply, recipe

pytestmark = pytest.mark.long

GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
MOST_FILES = {
    "A prompt category": 1,
    "A figure": 4,
    "A decoder": 6,
    "A model family": 2,
    "An analysis stage": 8,
}
RESULTS = "results/organism"
MADE = ["prompts.tsv", "figures/lens_entropy.png", "lens/shift.nc", "surprise.tsv"]
TESTS = ["test_figures_lens_entropy.py", "test_shift.py", "test_surprise.py"]


def merged(changed, before, small):
    """A configuration as ``small`` is, but for what a recipe changed."""
    if isinstance(changed, dict):
        before, small = (other if isinstance(other, dict) else {} for other in (before, small))
        return {key: merged(value, before.get(key), small.get(key)) for key, value in changed.items()}
    return changed if changed != before else small


@pytest.fixture(scope="module")
def followed(project, tmp_path_factory):
    """A copy in which all recipes were followed, and what each changed."""
    copy = project.copy(tmp_path_factory.mktemp("contributed") / "project")
    small, shipped = project.read("config.yaml"), yaml.safe_load((ROOT / "config.yaml").read_text())
    shutil.copy(ROOT / "config.yaml", copy.folder / "config.yaml")
    for name in ("tests", "docs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy.folder / name, ignore=ignored, dirs_exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", copy.folder / "pyproject.toml")
    changed = {heading: apply(recipe(GUIDE, heading), copy.folder) for heading in MOST_FILES}
    config = merged(copy.read("config.yaml"), shipped, small)
    config["models"], config["run"] = small["models"], ["organism"]
    copy.write("config.yaml", config)
    yield copy, changed
    copy.dry_runs.close()


@pytest.fixture(scope="module")
def made(followed):
    copy, _ = followed
    done = copy.snakemake(*(f"{RESULTS}/{name}" for name in MADE))
    assert done.returncode == 0, done.stdout + done.stderr
    return copy.folder / RESULTS


@pytest.mark.parametrize("heading", MOST_FILES)
def test_a_recipe_is_short(followed, heading):
    _, changed = followed
    assert 1 <= len(changed[heading]) <= MOST_FILES[heading]


def test_a_category(made):
    prompts = pd.read_csv(made / "prompts.tsv", sep="\t")
    assert (prompts["category"] == "nationality").sum() == 3


def test_a_figure(made):
    assert (made / "figures/lens_entropy.png").stat().st_size > 5000


def test_a_decoder(made):
    with xr.open_dataset(made / "lens/shift.nc", engine="h5netcdf") as lens:
        assert lens.attrs["decoder"] == "shift"
        assert float(abs(lens["kl_final"].isel(depth=-1)).max()) < 1e-5


def test_an_analysis_stage(made):
    table = pd.read_csv(made / "surprise.tsv", sep="\t")
    assert table["category"].iloc[0] == "all" and (table["bits"] > 0).all()


def test_a_family_and_every_recipes_own_tests(followed):
    copy, _ = followed
    engines = [f"tests/unit/test_{name}.py" for name in ("families", "trace", "every_decoder")]
    own = [f"tests/unit/{name}" for name in TESTS]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    for arguments in (own, [*engines, "-k", "stablelm"]):
        done = subprocess.run(
            [*command, *arguments], cwd=copy.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
        assert "passed" in done.stdout and "skipped" not in done.stdout
