"""What people write: YAML and plain text, and the error that says in one line what is wrong with it.

No array library is imported here: this runs at every start of the pipeline.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import yaml


class BadInput(ValueError):
    """What a person wrote is wrong; the message is one line: file, entry, field, what was expected."""


class _Misread(yaml.constructor.ConstructorError):
    """What is written is YAML, but not for what was meant."""


class _Loader(yaml.SafeLoader):
    """YAML in which keys are text and none occurs twice: plain YAML would silently keep the last."""

    def construct_mapping(self, node, deep=False):
        keys = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _Misread(problem="a key that is a list or a mapping", problem_mark=key.start_mark)
            if key.value in keys:
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key.value!r} occurs twice", problem_mark=key.start_mark
                )
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.tag != "tag:yaml.org,2002:str":
                problem = (
                    f"YAML does not read the key {key.value} as text (expected: in quotes, '{key.value}')"
                )
                raise _Misread(problem=problem, problem_mark=key.start_mark)
            keys.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node, deep=False):
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        # Values are made by int, date and the like, each with errors of its own.
        except Exception as error:
            if not isinstance(node, yaml.ScalarNode):
                raise
            kind = node.tag.rpartition(":")[2]
            problem = (
                f"YAML reads {node.value} as {kind}: {error} (expected: in quotes, '{node.value}', if text)"
            )
            raise _Misread(problem=problem, problem_mark=node.start_mark) from error


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file.

    Raises
    ------
    BadInput
        If the file cannot be opened, is not UTF-8 or not YAML, or if a key occurs twice in a mapping or is
        not text, with the line.
    """
    try:
        return yaml.load(read_whole(path), _Loader)  # a SafeLoader
    except _Misread as error:
        raise BadInput(f"{path}: line {error.problem_mark.line + 1}: {error.problem}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}:" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise BadInput(f"{path}:{where} not YAML: {problem}") from error


def read_whole(path: str | Path) -> str:
    """A whole text file; line ends of all systems are read as one, a byte-order mark is left out.

    Raises
    ------
    BadInput
        As `read_lines`.
    """
    with _opened(path) as file:
        return file.read()


def read_lines(path: str | Path) -> Iterator[str]:
    """The lines of a text file, one at a time.

    Raises
    ------
    BadInput
        If the file cannot be opened; where the text is not UTF-8. A byte-order mark is.
    """
    with _opened(path) as file:
        yield from file


def read_start(path: str | Path, size: int) -> tuple[str, bool]:
    """The first characters of a text file, and whether they are all.

    Raises
    ------
    BadInput
        As `read_lines`.
    """
    with _opened(path) as file:
        return file.read(size), not file.read(1)


@contextmanager
def _opened(path: str | Path) -> Iterator[TextIO]:
    path = Path(path).expanduser()
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield file
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: {_not_utf8(path)}") from error


def _not_utf8(path: Path) -> str:
    """Where a file that is not UTF-8 is not."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return (
                    f"line {number}, byte {error.start + 1} (0x{line[error.start]:02x}): not UTF-8 "
                    "(expected: UTF-8; of a file that is Latin-1, iconv -f LATIN1 -t UTF-8 makes one)"
                )
    return "not UTF-8"
