"""Write docs/configuration.md: what keys of config.yaml are, by its comments, and may be, by its schema."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
FILE, SCHEMA = ROOT / "config.yaml", ROOT / "workflow/schemas/config.schema.yaml"
PAGE = ROOT / "docs/configuration.md"
OPENING = """\
# Configuration

Written from [`config.yaml`](../config.yaml) and [its schema](../workflow/schemas/config.schema.yaml) by
`make docs`.

{about}

A dot in a key stands for a section inside a section: `grid.window` is `window` in `grid`. A value can be
changed for one run without touching the file, other keys of the section staying as they are:

    snakemake --cores 4 --config 'trace={{samples: 5}}'

A key that is unknown, and a value that cannot be, end the run before any job, with one line that names them.
"""
KEYS = ("key", "as shipped", "what it may be", "what it is")
KEYS_OF_MODELS = ("key", "needed", "what it may be", "what it is")


@dataclass(frozen=True)
class Key:
    """A key of the file: its name below the section, its value as written ("" of a section), its comment."""

    name: str
    written: str
    comment: str


class Commented:
    """A YAML file read with the comments behind its values, and those above its sections."""

    def __init__(self, text: str):
        self._text, self._lines = text, text.splitlines()
        self._root = yaml.compose(text, yaml.SafeLoader)

    def about(self) -> str:
        """The comment at the beginning of the file."""
        return self._comment_above(self._lines.index(""))

    def sections(self) -> Iterator[tuple[str, str, yaml.Node]]:
        """Name of each section, the comment above it, and its node."""
        for key, value in self._root.value:
            yield key.value, self._comment_above(key.start_mark.line), value

    def keys(self, section: yaml.Node, prefix: str = "") -> Iterator[Key]:
        """The keys of a section; those of a section in it too, where they have lines of their own."""
        for key, value in section.value:
            name = prefix + key.value
            if isinstance(value, yaml.MappingNode) and not value.flow_style:
                yield Key(name, "", self._comment_behind(key.end_mark))
                yield from self.keys(value, f"{name}.")
            else:
                yield Key(name, self.written(value), self._comment_behind(value.end_mark))

    def written(self, node: yaml.Node) -> str:
        """A value as it stands in the file."""
        return self._text[node.start_mark.index : node.end_mark.index]

    def _comment_above(self, line: int) -> str:
        first = line
        while first and self._lines[first - 1].startswith("#"):
            first -= 1
        return " ".join(text.lstrip("# ") for text in self._lines[first:line])

    def _comment_behind(self, mark: yaml.Mark) -> str:
        """What stands behind a ``#`` on the line, and on lines after it that are nothing but a comment."""
        found = [self._lines[mark.line][mark.column :].partition("#")[2]]
        for line in self._lines[mark.line + 1 :]:
            if not re.match(r" +#", line):
                break
            found.append(line.partition("#")[2])
        return " ".join(text.strip() for text in found)


def read_schema(path: Path) -> Mapping:
    """The schema in a file, with what it refers to in place of references."""
    schema = yaml.safe_load(path.read_text(encoding="utf-8"))

    def whole(part: Any) -> Any:
        if isinstance(part, list):
            return [whole(each) for each in part]
        if not isinstance(part, Mapping):
            return part
        referred = whole(schema["$defs"][part["$ref"].rpartition("/")[2]]) if "$ref" in part else {}
        return referred | {key: whole(value) for key, value in part.items() if key != "$ref"}

    return whole({key: value for key, value in schema.items() if key != "$defs"})


def within(schema: Mapping, name: str) -> Mapping:
    """The part of a schema that a dotted key is checked against.

    Raises
    ------
    KeyError
        If the schema has no such key.
    """
    for part in name.split("."):
        schema = schema.get("properties", {}).get(part) or schema.get("additionalProperties")
        if not schema:
            raise KeyError(name)
    return schema


def allowed(schema: Mapping) -> str:
    """What a value may be, in words."""
    if "properties" in schema:
        each = {name: allowed(part) for name, part in schema["properties"].items()}
        by_kind = {kind: [f"`{n}`" for n in each if each[n] == kind] for kind in each.values()}
        return "; ".join(f"{', '.join(names)}: {kind}" for kind, names in by_kind.items())
    if "description" in schema:
        return schema["description"]
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return f"a list of {allowed(schema['items'])}"
    return {"boolean": "`true`, `false`", "string": "a text"}.get(schema["type"]) or _number(schema)


def _number(schema: Mapping) -> str:
    kind = "a whole number" if schema["type"] == "integer" else "a number"
    bounds = {"minimum": "from", "maximum": "to", "exclusiveMaximum": "below"}
    return " ".join([kind, *(f"{word} {schema[key]}" for key, word in bounds.items() if key in schema)])


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|").replace("<", "&lt;") for cell in cells) + " |"


def _head(*names: str) -> list[str]:
    return [_row(*names), _row(*["---"] * len(names))]


def _section(file: Commented, node: yaml.Node, schema: Mapping) -> Iterator[str]:
    yield from _head(*KEYS)
    for key in file.keys(node):
        if key.written:
            part = within(schema, key.name)
            yield _row(f"`{key.name}`", f"`{key.written}`", allowed(part), key.comment)
        elif key.comment:
            yield _row(f"**`{key.name}`**", "", "", key.comment)


def _models(file: Commented, node: yaml.Node, described: list[str], schema: Mapping) -> Iterator[str]:
    """Keys of a model's section, each with what the comment says of it; the models that are declared."""
    described_by_name = dict(zip(described[::2], described[1::2], strict=True))
    yield from _head(*KEYS_OF_MODELS)
    for name, part in schema["properties"].items():
        needed = "yes" if name in schema["required"] else "no"
        yield _row(f"`{name}`", needed, allowed(part), described_by_name[name].rstrip("."))
    yield from ["", "Declared as shipped:", "", *_head("model", "source")]
    for key in file.keys(node):
        brought = f" (`{key.comment}`)" if key.comment else ""
        yield _row(f"`{key.name}`", f"`{yaml.safe_load(key.written)['source']}`{brought}")


def configuration_page() -> str:
    """The page as it should be.

    Raises
    ------
    KeyError
        If a key is not in the schema, or one of a model's keys is not described in the comment.
    """
    file, schema = Commented(FILE.read_text(encoding="utf-8")), read_schema(SCHEMA)
    lines = [OPENING.format(about=file.about())]
    for name, comment, node in file.sections():
        part = schema["properties"][name]
        if name == "models":
            # The comment describes the keys of all models one after the other: `key`: what it is; ...
            comment, *described = re.split(r"[;.] `(\w+)`: ", comment)
            comment, table = f"{comment}.", _models(file, node, described, part["additionalProperties"])
        elif isinstance(node, yaml.MappingNode):
            table = _section(file, node, part)
        else:
            table = [*_head(*KEYS[:3]), _row(f"`{name}`", f"`{file.written(node)}`", allowed(part))]
        lines += [f"## {name}", "", comment, "", *table, ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(configuration_page(), encoding="utf-8")
