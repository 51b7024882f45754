"""The rules as they are written: short, named after their scripts, and quick to read."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.modules import code_of, digest, modules_behind

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow/scripts"
RULE_FILES = sorted((ROOT / "workflow/rules").glob("*.smk"))


def rules() -> dict[str, str]:
    """Every rule with a script of its own, and the script's path below ``workflow/scripts``."""
    text = "".join(file.read_text() for file in RULE_FILES)
    each = re.split(r"^(?=rule |use rule )", text, flags=re.M)[1:]
    scripts = [
        (re.match(r"rule (\w+):", rule), re.search(r'"\.\./scripts/([\w/]+)\.py"', rule)) for rule in each
    ]
    return {name.group(1): script.group(1) for name, script in scripts if name and script}


RULES = rules()


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_named_after_its_script(rule):
    assert RULES[rule].rpartition("/")[2] == rule


def test_every_script_has_its_rule_and_is_short():
    library = ("strata", "pipeline")
    scripts = [path for path in SCRIPTS.rglob("*.py") if path.relative_to(SCRIPTS).parts[0] not in library]
    names = {str(path.relative_to(SCRIPTS).with_suffix("")) for path in scripts}
    assert names == {*RULES.values(), "figures/draw_figures"}
    for script in scripts:
        assert len(script.read_text().splitlines()) < 55, script


def test_rules_are_short_and_open_with_their_inputs_and_outputs():
    assert sum(len(file.read_text().splitlines()) for file in [*RULE_FILES, ROOT / "Snakefile"]) <= 900
    for file in RULE_FILES:
        first = file.read_text().splitlines()[0]
        assert first.startswith("# ") and "->" in first, file


def test_code_is_found_through_imports():
    behind = code_of("lens/read_lens")
    assert "workflow/scripts/strata/lens/readout.py" in behind
    assert "workflow/scripts/strata/names.py" in behind and "workflow/scripts/lens/read_lens.py" in behind
    assert "workflow/scripts/strata/trace/sweep.py" not in behind
    assert not [path for path in behind if "pipeline" in path]


def test_modules_behind_follows_imports():
    behind = modules_behind(["strata.figures.lens"])
    assert "workflow/scripts/strata/figures/style.py" in behind
    assert "workflow/scripts/strata/trace/sweep.py" not in behind
    assert not [path for path in behind if "strata/notebook" in path], "only type checkers read of it"
    with pytest.raises(FileNotFoundError, match="strata.nothing.here"):
        modules_behind(["strata.nothing.here"])


def test_a_digest_is_of_the_contents(tmp_path):
    contents = {"a": "1", "b": "1", "newer": "1", "other": "2"}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)

    def of(*names: str) -> str:
        return digest(str(tmp_path / name) for name in names)

    assert of("a", "b") == of("newer", "b") != of("other", "b")


def test_what_the_snakefile_imports_is_light():
    heavy = ("torch", "transformers", "xarray", "numpy", "pandas", "matplotlib", "seaborn")
    modules = "pipeline.config, pipeline.figure_table, pipeline.modules, strata.model.source"
    code = f"import sys, {modules}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
