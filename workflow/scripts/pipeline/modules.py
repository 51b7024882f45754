"""Which files of the library a script depends on: every module that it imports, and what these import."""

import ast
import atexit
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pipeline.contents import keep, recall
from strata.inputs import BadInput

SCRIPTS = Path(__file__).parents[1]
KNOWN = "modules.json"


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
    return [str(path.relative_to(SCRIPTS.parents[1])), *modules_behind(_module(path).imports)]


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
            waiting += [p for name in _module(path).imports for p in _imported(name)]
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
    if function not in _module(path).functions:
        raise BadInput(f"{where}: no function {function!r} in {package}.{module}")


def digest(paths: Iterable[str]) -> str:
    """What changes where the contents of files, named from the project's folder, do."""
    digests = (bytes.fromhex(_module(SCRIPTS.parents[1] / path).digest) for path in paths)
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]


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


class Module(NamedTuple):
    """What is asked of a file: a digest of its contents, what it imports of the library, its functions."""

    digest: str
    imports: list[str]
    functions: list[str]


@cache
def _module(path: Path) -> Module:
    content, known = path.read_bytes(), _known()
    digest = hashlib.sha256(content).hexdigest()
    if digest not in known:
        tree = ast.parse(content)
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        known[digest] = [_imports(tree), functions]
    return Module(digest, *known[digest])


@cache
def _known() -> dict[str, list[list[str]]]:
    """Imports and functions by the digest of a file, from earlier starts; kept at the end for later ones."""
    known = recall(KNOWN)
    n_before = len(known)
    atexit.register(lambda: len(known) > n_before and keep(KNOWN, known))
    return known


def _imports(tree: ast.Module) -> list[str]:
    names = []
    waiting: list[ast.AST] = [tree]
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
