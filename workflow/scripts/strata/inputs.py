"""What people write: YAML and plain text, and the error that says in one line what is wrong with it.

No array library is imported here: this runs at every start of the pipeline.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


class BadInput(ValueError):
    """What a person wrote is wrong; the message is one line: file, entry, field, what was expected."""


class _Loader(yaml.SafeLoader):
    """YAML in which no key occurs twice: plain YAML would silently keep the last."""

    def construct_mapping(self, node, deep=False):
        keys = set()
        for key, _ in node.value:
            if key.value in keys:
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key.value!r} occurs twice", problem_mark=key.start_mark
                )
            if key.tag != "tag:yaml.org,2002:merge":
                keys.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file.

    Raises
    ------
    BadInput
        If the file is not YAML or a key occurs twice in a mapping, with the line.
    """
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}:" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise BadInput(f"{path}:{where} not YAML: {problem}") from error


def read_lines(path: str | Path) -> Iterator[str]:
    """The lines of a text file, one at a time."""
    with Path(path).expanduser().open(encoding="utf-8") as file:
        yield from file
