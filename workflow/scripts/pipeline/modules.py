"""Which files of the library a script depends on: every module that it imports, and what these import."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from strata.inputs import BadInput

SCRIPTS = Path(__file__).parents[1]


def code_of(script: str) -> list[str]:
    """A script's file, and those of the library that it imports, directly or not.

    Parameters
    ----------
    script : its path below ``workflow/scripts``, without ``.py``

    Returns
    -------
    list of paths, from the project's folder

    Raises
    ------
    FileNotFoundError
        If there is no such script.
    """
    path = SCRIPTS / f"{script}.py"
    return [str(path.relative_to(SCRIPTS.parents[1])), *modules_behind(_imports(path))]


def modules_behind(modules: Iterable[str]) -> list[str]:
    """Files of the named modules of the library and of what they import of it.

    Raises
    ------
    FileNotFoundError
        If a name is neither a module nor something in one.
    """
    found: set[Path] = set()
    waiting: list[Path] = []
    for module in modules:
        if not (_file(module) or _file(module.rpartition(".")[0])):
            raise FileNotFoundError(f"no module {module} in {SCRIPTS}")
        waiting += _imported(module)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [p for name in _imports(path) for p in _imported(name)]
    return sorted(str(path.relative_to(SCRIPTS.parents[1])) for path in found)


def check_function(name: str, package: str, where: str) -> None:
    """Check that a table's ``module.function`` is one of a package of the library.

    Raises
    ------
    BadInput
        After ``where``.
    """
    module, _, function = name.rpartition(".")
    path = _file(f"{package}.{module}")
    if path is None:
        raise BadInput(f"{where}: no module {module!r} of {package}")
    if function not in _functions(path):
        raise BadInput(f"{where}: no function {function!r} in {package}.{module}")


def digest(paths: Iterable[str]) -> str:
    """What changes where the contents of files, named from the project's folder, do."""
    contents = (hashlib.sha256((SCRIPTS.parents[1] / path).read_bytes()).digest() for path in paths)
    return hashlib.sha256(b"".join(contents)).hexdigest()[:16]


@cache
def _imported(name: str) -> list[Path]:
    """The files that importing a name runs: its module, if it is one, and the packages around it."""
    parts = name.split(".")
    prefixes = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
    return [path for prefix in prefixes if (path := _file(prefix))]


@cache
def _file(module: str) -> Path | None:
    base = SCRIPTS / Path(*module.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@cache
def _functions(path: Path) -> set[str]:
    return {node.name for node in _tree(path).body if isinstance(node, ast.FunctionDef)}


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _imports(path: Path) -> list[str]:
    names = []
    waiting: list[ast.AST] = [_tree(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue  # does not run
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.split(".")[0] == "strata"]
