"""No file that is read can run code: from the source, every way to load one is named and looked at."""

import ast
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path for folder in ("workflow", "docs", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)

MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
CALLS = re.compile(
    r"(^|\.)(read_pickle|unsafe_load|full_load|unsafe_load_all|full_load_all|UnsafeLoader|FullLoader|Unpickler)$"
    r"|^(eval|exec|compile|__import__)$|^os\.system$"
)


def faults(tree: ast.Module) -> list[str]:
    """Lines of a module by which a file, or a text, could run code."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Name | ast.Attribute) and CALLS.search(ast.unparse(node)):
            found.append(ast.unparse(node))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if (
                (name == "torch.load" and given.get("weights_only") != "True")
                or given.get("allow_pickle", "False") != "False"
                or given.get("trust_remote_code", "False") != "False"
                or given.get("use_safetensors", "True") != "True"
                or (name == "yaml.load" and [ast.unparse(a) for a in node.args[1:]] != ["_Loader"])
                or given.get("shell", "False") != "False"
            ):
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_that_is_read_is_run(path):
    assert faults(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load('x')",
        "torch.load('x', weights_only=False)",
        "np.load('x', allow_pickle=True)",
        "pd.read_pickle('x')",
        "yaml.load(text, yaml.Loader)",
        "yaml.unsafe_load(text)",
        "yaml.load(text, Loader=yaml.FullLoader)",
        "model(source, trust_remote_code=True)",
        "model(source, use_safetensors=False)",
        "run('x', shell=True)",
        "eval(text)",
    ],
)
def test_what_would_run_it_is_found(line):
    assert faults(ast.parse(line))


def test_the_loader_of_yaml_is_a_safe_one():
    import yaml

    from strata.inputs import _Loader

    assert issubclass(_Loader, yaml.constructor.SafeConstructor)
    assert not issubclass(_Loader, yaml.constructor.FullConstructor)
    made = {tag for tag in _Loader.yaml_constructors if tag and "python" in tag}
    assert made == set() and all("python" not in str(tag) for tag in _Loader.yaml_multi_constructors)


def test_weights_only_runs_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save({"J": Evil()}, tmp_path / "x.pt")
    from strata.lens.artifacts import LensUnavailable, _load

    with pytest.raises(LensUnavailable, match="cannot be read as weights"):
        _load(tmp_path / "x.pt")
    assert not (tmp_path / "ran").exists()
