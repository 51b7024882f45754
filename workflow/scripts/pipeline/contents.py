"""What a model's files hold, told by their contents: times tell nothing of what was replaced."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

SEEN = Path(".snakemake/contents.json")
"""Digests of files as they were when they were read last, so that large ones are read once."""


def digest_of(paths: Iterable[str]) -> str:
    """A digest of files' names and contents, their folders apart; empty if there are none."""
    parts = [f"{Path(path).name} {_digest(path)}" for path in sorted(paths)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16] if parts else ""


@cache
def _digest(path: str) -> str:
    """The sha256 of one file. No replacement leaves all of size, times and number in the file system."""
    stat = os.stat(path)
    now = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    key = os.path.abspath(path)
    seen = _read()
    if seen.get(key, [None])[:-1] == now:
        return seen[key][-1]
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    _write(_read() | {key: [*now, found]})
    return found


def _read() -> dict[str, list]:
    try:
        seen = json.loads(SEEN.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or cut short: all is read again
        return {}
    return seen if isinstance(seen, dict) else {}


def _write(seen: dict[str, list]) -> None:
    with suppress(OSError):  # where nothing can be written, files are read at every start
        SEEN.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=SEEN.parent, delete=False) as file:
            json.dump(seen, file)
        os.replace(file.name, SEEN)  # jobs on a cluster read it meanwhile
