"""Which files a module stands on: itself and every module of the library that it imports."""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path


def modules_behind(root: Path, modules: Iterable[str]) -> list[str]:
    """Paths below ``root`` of the named modules and of what they import of the same package.

    Raises
    ------
    FileNotFoundError
        If a named module does not exist.
    """
    found: set[Path] = set()
    waiting: list[Path] = []
    for module in modules:
        if _file(root, module) is None:
            raise FileNotFoundError(f"no module {module} under {root}")
        waiting += _imported(root, module)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [p for name in _imports(path) for p in _imported(root, name)]
    return sorted(str(path.relative_to(root.parent.parent)) for path in found)


@cache
def _imported(root: Path, name: str) -> list[Path]:
    """The files that importing a name runs: its module, if it is one, and the packages around it."""
    parts = name.split(".")
    prefixes = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
    return [path for prefix in prefixes if (path := _file(root, prefix))]


def _file(root: Path, module: str) -> Path | None:
    base = root / Path(*module.split("."))
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@cache
def _imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.split(".")[0] == "strata"]
