"""The library installs alone: its wheel is whole, needs what it imports, and is typed."""

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "workflow/scripts/strata"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = {canonicalize_name(each.name): each for each in map(Requirement, PROJECT["dependencies"])}


def run(*command: str, **environment: str) -> subprocess.CompletedProcess:
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built of a copy, so that the project's folder stays clean, and without a network."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(LIBRARY, source / "workflow/scripts/strata", ignore=ignored)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(built), str(source))
    [wheel] = built.glob("strata-*.whl")
    return wheel


def test_the_wheel_holds_every_file_of_the_library_and_nothing_else(wheel):
    files = {path for path in LIBRARY.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    expected = {path.relative_to(LIBRARY.parent).as_posix() for path in files}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == expected
    assert {"strata/py.typed", "strata/figures/explorer.css", "strata/findings/findings.md.j2"} <= held


@pytest.mark.long
def test_the_installed_library_is_imported_from_where_it_is(wheel, tmp_path):
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "install", "--no-deps", "--no-index", "--target", str(tmp_path), str(wheel))
    code = (
        "import json, sys, strata, strata.figures.explorer, strata.findings.page;"
        "lens = strata.lens(sys.argv[1], 'The capital of France is', progress=False);"
        "print(json.dumps([strata.__file__, strata.__version__, len(lens._repr_html_())]))"
    )
    done = run(sys.executable, "-c", code, str(ROOT / "data/models/organism"), PYTHONPATH=str(tmp_path))
    file, version, length = json.loads(done.stdout)
    assert Path(file) == tmp_path / "strata/__init__.py" and version == PROJECT["version"] and length > 20_000


def test_what_the_library_imports_is_what_it_needs():
    """gguf is imported by transformers alone, h5netcdf by xarray."""
    imported = set()
    for path in LIBRARY.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    others = imported - {"strata"} - set(sys.stdlib_module_names)
    distributions = packages_distributions()
    known = {canonicalize_name(distributions[name][0]) for name in others}
    assert known | {"gguf", "h5netcdf"} == set(NEEDED)


def test_what_it_needs_allows_the_versions_that_it_is_tested_with():
    pins = map(Requirement, (ROOT / "requirements.txt").read_text().split("\n", 1)[1].split())
    for pin in pins:
        if needed := NEEDED.get(canonicalize_name(pin.name)):
            [version] = [each.version for each in pin.specifier]
            assert needed.specifier.contains(version), pin


def test_the_public_face_has_types_for_those_who_use_it(tmp_path):
    (tmp_path / "use.py").write_text(
        "import strata\n"
        "model = strata.load('m', device='cpu')\n"
        "reveal_type(strata.lens(model, 'text'))\n"
        "reveal_type(strata.trace('m', 'text', subject='text').figure)\n"
        "strata.trace(model, 'text')\n"
    )
    mypy = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    environment = os.environ | {"MYPYPATH": str(LIBRARY.parent)}
    done = subprocess.run(
        [*mypy, str(tmp_path / "use.py")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert '"strata.notebook.lens.LensDataset"' in done.stdout
    assert '"def () -> matplotlib.figure.Figure"' in done.stdout
    assert 'Missing positional argument "subject"' in done.stdout and "Found 1 error" in done.stdout
