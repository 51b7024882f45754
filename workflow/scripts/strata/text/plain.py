"""A user's text file, documents with blank lines between them, and a table of token counts: read and checked.

No array library is imported here: the check runs at every start of the pipeline.
"""

import csv
import json
import re
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


def check_counts(path: str) -> None:
    """Check a table of how often each token occurred in a model's training: ``token_id`` and ``count``.

    Raises
    ------
    BadInput
        With the line and the column.
    """
    reader = csv.reader(read_lines(path), delimiter="\t", strict=True)
    header: list[str] = []
    seen: dict[int, int] = {}
    occurrences = 0
    try:
        for cells in reader:
            place = f"{path}: line {reader.line_num}"
            if not header:
                header = cells
                if not {"token_id", "count"} <= set(header):
                    break
                continue
            if len(cells) != len(header):
                raise BadInput(f"{place}: {len(cells)} cells (expected: {len(header)}, as in the header)")
            row = dict(zip(header, cells, strict=True))
            for column in ("token_id", "count"):
                if not re.fullmatch(r"[0-9]{1,15}(\.0)?", row[column]):
                    raise BadInput(
                        f"{place}: {column}: {row[column]!r:.80} (expected: a whole number from 0)"
                    )
            before = seen.setdefault(int(float(row["token_id"])), reader.line_num)
            if before != reader.line_num:
                raise BadInput(f"{place}: token_id {row['token_id']} is in line {before} already")
            occurrences += int(float(row["count"]))
    except csv.Error as error:
        raise BadInput(f"{path}: line {reader.line_num}: not TSV: {error}") from error
    if not {"token_id", "count"} <= set(header or ()):
        found = ", ".join(header or ["none"])
        raise BadInput(f"{path}: columns {found!r:.80} (expected: token_id, count, separated by tabs)")
    if not occurrences:
        raise BadInput(f"{path}: no token occurs (expected: counts above 0)")


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
