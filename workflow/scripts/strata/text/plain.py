"""A user's text file: documents with blank lines between them, read and checked.

No array library is imported here: the check runs at every start of the pipeline.
"""

import json
from collections.abc import Iterable, Iterator

from strata.inputs import BadInput, read_lines, read_start

NEEDED = 3
"""Documents: one to fit on, one to choose by, one to report."""

START = 2**20
"""Characters that are read for the check at the start."""

EXPECTED = "(expected: plain text, its documents separated by blank lines)"


def paragraphs(lines: Iterable[str]) -> Iterator[str]:
    """The stretches of a file between blank lines, one at a time."""
    inside: list[str] = []
    for line in lines:
        if line.strip():
            inside.append(line)
        elif inside:
            yield "".join(inside).rstrip("\n")
            inside = []
    if inside:
        yield "".join(inside).rstrip("\n")


def read_documents(path: str) -> Iterator[str]:
    """The documents of a file, one at a time.

    Raises
    ------
    BadInput
        Where it is not UTF-8; at its end, if there were too few.
    """
    found = 0
    for document in paragraphs(read_lines(path)):
        found += 1
        yield document
    _check_number(path, found)


def check_text(path: str) -> None:
    """Check the start of a file: UTF-8, not JSON, blank lines between documents.

    Raises
    ------
    BadInput
        With the line, where there is one.
    """
    text, is_whole = read_start(path, START)
    lines = text.split("\n")
    if not is_whole and len(lines) > 1:
        del lines[-1]  # cut
    written = [number for number, line in enumerate(lines, 1) if line.strip()]
    if written and written[-1] - written[0] + 1 == len(written):  # no blank line between
        if all(_is_record(lines[number - 1]) for number in written[:10]):
            raise BadInput(f"{path}: line {written[0]}: JSON lines {EXPECTED}")
        if not is_whole:
            raise BadInput(f"{path}: no blank line in lines {written[0]} to {written[-1]} {EXPECTED}")
    if is_whole:
        found = sum(1 for _ in paragraphs(f"{line}\n" for line in lines))
        _check_number(path, found, f" in lines {written[0]} to {written[-1]}" if written else "")


def _is_record(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _check_number(path: str, found: int, where: str = "") -> None:
    if found < NEEDED:
        documents = "document" if found == 1 else "documents"
        raise BadInput(
            f"{path}: {found} {documents}{where} (expected: {NEEDED} or more, separated by blank lines)"
        )
