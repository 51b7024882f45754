"""The rooms of the house, read from the source: what imports what, how heavy, how long, who opens files."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path("workflow/scripts")

ORDER = [
    *("names", "inputs", "schemas", "progress", "pages", "products", "exponentials"),
    *(
        "stored",
        "io",
        "pieces",
        "share",
        "stats",
        "model",
        "costs",
        "text",
        "organism",
        "lens",
        "probes",
        "trace",
        "embedding",
        "attention",
        "keys",
    ),
    *("findings", "figures", "notebook"),
]
"""What stands at the library's top. Each imports only from those before it."""

PLOTTING = {"matplotlib", "seaborn"}
MODELS = {"torch", "transformers"}
SCRIPTS = sorted(p for p in ROOT.glob("*/*.py") if p.parent.name not in ("strata", "pipeline"))
TOKENISE = [ROOT / "text" / "gather_text.py", ROOT / "syntax" / "tag_text.py"]
DRAW = [
    *(p for p in SCRIPTS if p.parent.name == "figures"),
    *(ROOT / "lens").glob("write_*.py"),  # pages
    *sorted((ROOT / "strata" / "figures").rglob("*.py")),
]
LIGHT = {
    "jobs that tokenise": (TOKENISE, {"torch"}),
    "jobs that draw": (DRAW, {*MODELS, "sklearn"}),
    "jobs that analyse": ([p for p in SCRIPTS if p not in DRAW], PLOTTING),
    "io": ([ROOT / "strata/io.py"], {*MODELS, *PLOTTING, "sklearn"}),
    "what opens results": ([ROOT / "strata/notebook/open.py"], {*MODELS, *PLOTTING, "sklearn"}),
    "what a notebook asks of a model": (sorted((ROOT / "strata/notebook").glob("*.py")), {*PLOTTING}),
    "names and what people write": (
        [ROOT / f"strata/{name}.py" for name in ("__init__", "names", "inputs", "schemas", "progress")],
        {*MODELS, *PLOTTING, "sklearn", "scipy", "pandas", "xarray", "numpy"},
    ),
}
"""Kinds of modules, and what importing them must not bring in."""

OPENS = {
    "io": "data",
    "pieces": "data, a piece after another",
    "inputs": "what people write",
    "model.loading": "a model",
    "model.gguf": "a model's header",
    "model.safetensors": "the same",
    "model.source": "what comes with a model",
    "model.unpacking": "a model in one file",
    "text.tokenizer": "a tokenizer",
    "lens.artifacts": "published lenses, which torch alone reads",
    "figures.saving": "pictures",
}
"""The modules of the library that open files, and which."""

OPENING = re.compile(
    r"(^|\.)(open|open_dataset|open_dataarray|load_dataset|to_netcdf|to_zarr|read_csv|read_table|to_csv|fromfile|tofile"
    r"|read_text|read_bytes|write_text|write_bytes|load_file|save_file|safe_open|savefig|from_pretrained)$"
    r"|^(np|torch|json|pickle)\.(load|loadtxt|genfromtxt|save|savez|savez_compressed|savetxt|dump)$"
)
"""Calls that open files, or write them."""


# Reading the source -------------------------------------------------------------------------


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def file_of(module: str) -> Path | None:
    base = ROOT / Path(*module.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a module but for bodies of functions and what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from (inner for part in child.orelse for inner in (part, *run_at_import(part)))
            continue
        yield child
        yield from run_at_import(child)


def imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """The modules that nodes import, as far as names tell: ``from a import b`` may mean a module a.b."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "no relative imports here"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached(path: Path) -> dict[str, list[str]]:
    """Packages of others that importing a file brings in, each with the modules on the way to it."""
    found: dict[str, list[str]] = {}
    seen, waiting = {path}, [(path, [str(path)])]
    while waiting:
        at, way = waiting.pop()
        for name in imported(run_at_import(tree(at))):
            parts = name.split(".")
            if parts[0] not in ("strata", "pipeline"):
                found.setdefault(parts[0], way)
            for n in range(1, len(parts) + 1):
                inner = file_of(".".join(parts[:n]))
                if inner and inner not in seen:
                    seen.add(inner)
                    waiting.append((inner, [*way, ".".join(parts[:n])]))
    return found


LIBRARY = {module_of(path): path for path in sorted((ROOT / "strata").rglob("*.py"))}


def place(module: str) -> str:
    """The package, or module, at the library's top that a module belongs to."""
    return module.split(".")[1]


def arrows() -> Iterator[tuple[str, str]]:
    """Who imports whom in the library, functions' imports too, between different places at its top."""
    for module, path in LIBRARY.items():
        for name in imported(ast.walk(tree(path))):
            inside = name.startswith("strata.") and file_of(".".join(name.split(".")[:2]))
            if inside and module != "strata" and place(name) != place(module):
                yield module, name


# The rooms ----------------------------------------------------------------------------------


def test_arrows_go_one_way():
    assert {place(module) for module in LIBRARY if module != "strata"} == set(ORDER)
    upwards = {f"{a} -> {b}" for a, b in arrows() if ORDER.index(place(a)) < ORDER.index(place(b))}
    assert not upwards


def test_the_order_is_of_arrows_that_there_are():
    """Of two neighbours in the order that have no arrow between them, either might come first."""
    places = {(place(a), place(b)) for a, b in arrows()}
    assert {
        ("organism", "text"),
        ("attention", "embedding"),
        ("figures", "attention"),
        ("notebook", "figures"),
    } <= places


def test_the_library_knows_nothing_of_the_workflow():
    for module, path in LIBRARY.items():
        outside = {name.split(".")[0] for name in imported(ast.walk(tree(path)))}
        assert not outside & {"pipeline", "snakemake"}, module
        assert "snakemake" not in {n.id for n in ast.walk(tree(path)) if isinstance(n, ast.Name)}, module


@pytest.mark.parametrize("kind", LIGHT)
def test_what_a_kind_of_job_imports_is_light(kind):
    paths, heavy = LIGHT[kind]
    assert paths
    ways = {path: reached(path) for path in paths}
    too_heavy = {
        f"{' > '.join(found[name])} > {name}" for found in ways.values() for name in found.keys() & heavy
    }
    assert not too_heavy


def test_imports_are_followed_as_they_run():
    """What torch is needed for is found, and not what only functions and type checkers import."""
    assert "torch" in reached(file_of("strata.lens.readout"))
    assert reached(file_of("strata.embedding.clump"))["sklearn"]
    source = (
        "if TYPE_CHECKING:\n    import a\nelse:\n    import b\ndef f():\n    import c\nclass D:\n    import d"
    )
    assert list(imported(run_at_import(ast.parse(source)))) == ["b", "d"]


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (
            ["strata", "strata.lens", "strata.trace"],
            {*MODELS, *PLOTTING, "xarray", "pandas", "numpy", "tqdm"},
        ),
        (["strata.notebook.open"], {*MODELS, *PLOTTING, "sklearn"}),
        (["strata.io", "strata.text.conllu"], {*MODELS, *PLOTTING, "sklearn"}),
        (["strata.figures.embedding_zero_layer", "strata.figures.saving"], {*MODELS, "sklearn"}),
        (["strata.organism.tagging", "strata.text.tagged", "strata.text.tokenizer"], {"torch", *PLOTTING}),
    ],
)
def test_what_is_light_is_light_when_run(modules, heavy):
    """Other people's packages import too: the source alone does not tell."""
    code = [f"import {', '.join(modules)}, json, sys"]
    if "strata.text.tokenizer" in modules:
        code.append("strata.text.tokenizer.load_tokenizer('data/models/organism')")
    code.append("print(json.dumps([name.split('.')[0] for name in sys.modules]))")
    done = subprocess.run(
        [sys.executable, "-c", "; ".join(code)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not heavy & set(json.loads(done.stdout))


def test_modules_and_tests_are_no_longer_than_a_sitting():
    files = [*ROOT.rglob("*.py"), *Path("tests").rglob("*.py")]
    lines = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert not {path: n for path, n in lines.items() if n > 400}


def test_few_modules_open_files():
    opens = set()
    for module, path in LIBRARY.items():
        nodes = list(ast.walk(tree(path)))
        named = [ast.unparse(node) for node in nodes if isinstance(node, (ast.Name, ast.Attribute))]
        if "h5py" in imported(nodes) or any(map(OPENING.search, named)):
            opens.add(module.removeprefix("strata."))
    assert opens == set(OPENS)


def test_what_docstrings_name_is_there():
    """In backticks stands a module, or what is defined at its top."""

    def at_top(path: Path) -> set[str]:
        found = {node.name for node in tree(path).body if hasattr(node, "name")}
        assigned = (
            n for statement in tree(path).body for n in ast.walk(statement) if isinstance(n, ast.Name)
        )
        return found | {name.id for name in assigned if isinstance(name.ctx, ast.Store)}

    def is_there(name: str) -> bool:
        parts = name.split(".")
        n = max(n for n in range(1, len(parts) + 1) if file_of(".".join(parts[:n])))
        return n == len(parts) or parts[n] in at_top(file_of(".".join(parts[:n])))

    lost = {
        f"{path}: {name}"
        for path in [*ROOT.rglob("*.py"), *Path("tests").rglob("*.py")]
        for name in re.findall(r"`(strata(?:\.\w+)+)`", path.read_text(encoding="utf-8"))
        if not is_there(name)
    }
    assert not lost
