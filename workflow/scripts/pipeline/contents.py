"""What a model's files hold, told by their contents: times tell nothing of what was replaced."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

KEPT = Path(".snakemake")
SEEN = "contents.json"
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
    seen = recall(SEEN)
    if seen.get(key, [None])[:-1] == now:
        return seen[key][-1]
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    keep(SEEN, recall(SEEN) | {key: [*now, found]})
    return found


def recall(name: str) -> dict:
    """What an earlier start kept by a name; empty if that is nothing."""
    try:
        kept = json.loads((KEPT / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or cut short: all is read again
        return {}
    return kept if isinstance(kept, dict) else {}


def keep(name: str, what: dict) -> None:
    """Keep by a name what later starts need not find out again."""
    with suppress(OSError):  # where nothing can be written, they do
        KEPT.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=KEPT, delete=False) as file:
            json.dump(what, file)
        os.replace(file.name, KEPT / name)  # jobs on a cluster read it meanwhile
