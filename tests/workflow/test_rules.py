"""The rules as they are written: what they stand on, and that reading them is quick."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.modules import modules_behind

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "workflow/scripts"


def rules() -> dict[str, tuple[set[str], str]]:
    """Every rule with a script: the modules it names under `library=`, and the script."""
    found = {}
    for file in sorted((ROOT / "workflow/rules").glob("*.smk")):
        for text in re.split(r"^(?=rule |use rule )", file.read_text(), flags=re.M)[1:]:
            script = re.search(r'"\.\./scripts/(\w+)\.py"', text)
            if script:
                named = re.search(r"library=library\((.*?)\)", text, re.S)
                modules = set(re.findall(r'"([\w.]+)"', named.group(1))) if named else set()
                found[re.search(r"rule (\w+)", text).group(1)] = (modules, script.group(1))
    return found


RULES = rules()


def imported(script: str) -> list[str]:
    """Modules of strata that a script imports; `job` only keeps its log and its threads."""
    names = []
    for node in ast.walk(ast.parse((SCRIPTS / f"{script}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "strata":
            names += [f"strata.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("strata."):
            names.append(node.module)
    return [name for name in names if name != "strata.job"]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_stands_on_every_module_its_script_imports(rule):
    named, script = RULES[rule]
    stands_on = modules_behind(SCRIPTS, [f"strata.{module}" for module in named])
    assert set(modules_behind(SCRIPTS, imported(script))) <= set(stands_on)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_named_after_its_script(rule):
    assert RULES[rule][1] == rule


def test_what_the_snakefile_imports_is_light():
    code = (
        "import sys, strata.validation, strata.modules;"
        "print([m for m in ('torch', 'transformers', 'xarray', 'numpy', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
