"""The recipes of CONTRIBUTING.md, applied to a copy of the project.

A block whose first line names a file is that file; a ``diff`` block changes the file that its first line
names: its context and ``-`` lines are there exactly once, and become its context and ``+`` lines.
"""

import re
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(?:#|\.\.) (\S+)\n(.*?)^```$", re.M | re.S)


def recipe(text: str, heading: str) -> list[tuple[str, str, str]]:
    """The blocks (kind, file, content) of the section under a third-level heading.

    Raises
    ------
    ValueError
        If there is no such section, or it has no blocks.
    """
    sections = re.split(r"^#{2,3} ", text, flags=re.M)
    found = [section for section in sections if section.split("\n", 1)[0] == heading]
    blocks = [block for section in found for block in BLOCK.findall(section)]
    if not blocks:
        raise ValueError(f"no recipe {heading!r}")
    return blocks


def apply(blocks: list[tuple[str, str, str]], root: Path) -> list[str]:
    """Follow a recipe below ``root``; returns the files that it writes or changes.

    Raises
    ------
    ValueError
        If a file to write exists already, or what is to be changed is not in its file exactly once.
    """
    for kind, name, content in blocks:
        path = root / name
        if kind == "diff":
            lines = content.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            before = path.read_text(encoding="utf-8")
            if before.count(old) != 1:
                raise ValueError(f"{name}: {before.count(old)} times there, not once: {old!r}")
            path.write_text(before.replace(old, new), encoding="utf-8")
        elif path.exists():
            raise ValueError(f"{name} exists already")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    return list(dict.fromkeys(name for _, name, _ in blocks))
