"""What people write: YAML and plain text, and the error that says in one line what is wrong with it.

No array library is imported here: this runs at every start of the pipeline.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.cyaml import CParser
from yaml.resolver import Resolver

LONGEST = 2**24
"""Characters of a line, at most: beyond is no text that someone wrote, and memory for it is not taken."""

LARGEST = 2**30
"""Bytes of a file that is read as a whole, at most."""

STAND_FOR = 10**6
"""Values that the anchors of a YAML file may stand for, at most."""

TOO_DEEP = "brackets within brackets, too deep"
TOO_MANY_DIGITS = "a number of more digits than can be read"


def in_one_line(text: str) -> str:
    """A text as a terminal shows it harmlessly: what does not print (control characters, marks that turn
    the order of letters) is written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class BadInput(ValueError):
    """What a person wrote is wrong; the message is one line: file, entry, field, what was expected."""

    def __init__(self, message: str):
        super().__init__(in_one_line(message))


class _Misread(yaml.constructor.ConstructorError):
    """What is written is YAML, but not for what was meant."""


class _Loader(Composer, CParser, SafeConstructor, Resolver):
    """YAML in which keys are text and none occurs twice: plain YAML would silently keep the last.

    Scanned by libyaml, in a third of the time. What anchors stand for is counted, since a few lines of them
    may stand for more than memory holds.
    """

    def __init__(self, stream: str):
        CParser.__init__(self, stream)
        for base in (Composer, SafeConstructor, Resolver):
            base.__init__(self)
        self._within: list[str] = []
        self._stands_for: dict[str, int] = {}
        self._added = 0

    def compose_node(self, parent, index):
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self._within:
                problem = f"the anchor {event.anchor!r} stands inside of itself"
                raise _Misread(problem=problem, problem_mark=event.start_mark)
            values = self._stands_for.get(event.anchor, 0)
            self._added += values
            if self._added > STAND_FOR:
                problem = "what its anchors stand for is more than a million values"
                raise _Misread(problem=problem, problem_mark=event.start_mark)
        else:
            values = 1
        for anchor in self._within:
            self._stands_for[anchor] += values
        if isinstance(event, yaml.AliasEvent) or not event.anchor:
            return super().compose_node(parent, index)
        self._stands_for[event.anchor] = 1
        self._within.append(event.anchor)
        node = super().compose_node(parent, index)
        self._within.pop()
        return node

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
            kind, value = node.tag.rpartition(":")[2], f"{node.value:.80}"
            problem = f"YAML reads {value} as {kind}: {error} (expected: in quotes, '{value}', if text)"
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
        return yaml.load("".join(read_lines(path)), _Loader)  # constructs no more than a SafeLoader
    except _Misread as error:
        raise BadInput(f"{path}: line {error.problem_mark.line + 1}: {error.problem}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}:" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise BadInput(f"{path}:{where} not YAML: {problem}") from error
    except RecursionError as error:
        raise BadInput(f"{path}: {TOO_DEEP}") from error


def half_character(text: str) -> str:
    """What is said of a text with half of a character, as escapes can write one: no file could hold it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"half of a character, {text[error.start : error.start + 1]!r} (expected: both halves)"
    return ""


def read_whole(path: str | Path) -> str:
    """A whole text file; line ends of all systems are read as one, a byte-order mark is left out.

    Raises
    ------
    BadInput
        As `read_lines`, but that lines may be of any length; if it is larger than `LARGEST`.
    """
    with _opened(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > LARGEST:
            raise BadInput(
                f"{path}: {size:,} bytes (expected: at most {LARGEST:,}; JSON Lines may have more)"
            )
        return _without_nul(file.read(), path)


def read_lines(path: str | Path) -> Iterator[str]:
    """The lines of a text file, one at a time.

    Raises
    ------
    BadInput
        If the file cannot be opened; where the text is not UTF-8, has a NUL, or a line is longer than
        `LONGEST`. A byte-order mark is left out.
    """
    with _opened(path) as file:
        for number, line in enumerate(iter(lambda: file.readline(LONGEST + 1), ""), 1):
            if len(line) > LONGEST:
                raise BadInput(f"{path}: line {number}: more than {LONGEST:,} characters (expected: fewer)")
            yield _without_nul(line, path, number)


def read_start(path: str | Path, size: int) -> tuple[str, bool]:
    """The first characters of a text file, and whether they are all.

    Raises
    ------
    BadInput
        As `read_whole`.
    """
    with _opened(path) as file:
        return _without_nul(file.read(size), path), not file.read(1)


def _without_nul(text: str, path: str | Path, first: int = 1) -> str:
    """The text, if it has no NUL, which tables could not hold; ``first``: the number of its first line."""
    before, nul, _ = text.partition("\0")
    if nul:
        number = first + before.count("\n")
        raise BadInput(f"{path}: line {number}: NUL, which no text has (expected: text in UTF-8)")
    return text


@contextmanager
def _opened(path: str | Path) -> Iterator[TextIO]:
    if reason := no_path(path):
        raise BadInput(f"{path}: cannot be read: {reason}")
    path = Path(path).expanduser()
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would be waited for
            raise BadInput(f"{path}: cannot be read: neither file nor folder")
        with path.open(encoding="utf-8-sig") as file:
            yield file
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: {_not_utf8(path)}") from error


def no_path(path: str | Path) -> str:
    """Why nothing can be at a path, there or to come; empty if something can."""
    try:
        os.stat(Path(path).expanduser())
    except OSError as error:
        return "" if error.errno in (errno.ENOENT, errno.ENOTDIR) else os.strerror(error.errno)
    except (ValueError, RuntimeError) as error:  # a NUL in it, or the home of nobody
        return str(error)
    return ""


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
