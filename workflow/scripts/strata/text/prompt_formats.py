"""A file of prompts in any format that is read, as the content of a category.

YAML and a JSON object say what a category is. A JSON list, JSON Lines, CSV and TSV have an entry for each
prompt, with our names or in a form of others; the category is the file's name.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from strata.inputs import (
    TOO_DEEP,
    TOO_MANY_DIGITS,
    BadInput,
    half_character,
    no_path,
    read_lines,
    read_whole,
    read_yaml,
)
from strata.text.prompt_forms import Made, Row, counterfact, from_pairs, from_templates, known

COLUMNS = ("id", "text", "subject", "target", "occurrence", "completions", "pair", "demands", "fact", "note")
"""What a prompt may have, and so a table of prompts."""


@dataclass(frozen=True)
class PromptFile:
    """What is in a file, not yet checked: a category as in YAML, files that it names, what is to be said."""

    content: Any
    named: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_prompt_file(path: str | Path) -> PromptFile:
    """Read a file of prompts; its name's end says in which format it is, a key of ``ROWS`` or ``.yaml``.

    Raises
    ------
    BadInput
        Where it is not of its format, or not of the form that it begins with: file, line or entry, and field.
    """
    path = Path(path)
    if path.suffix == ".yaml":
        return _category(path, read_yaml(path))
    if path.suffix == ".json" and isinstance(value := _read_json(path), dict):
        return _category(path, value)
    return _entries(path, list(ROWS[path.suffix](path)))


def _category(path: Path, content: Any) -> PromptFile:
    """A category as it is written, with the prompts that its ``templates`` and ``pairs`` make."""
    if not isinstance(content, dict) or not {"templates", "pairs"} & content.keys():
        return PromptFile(content)
    if "prompts" in content:
        raise BadInput(f"{path}: prompts: besides templates and pairs (expected: the one or the others)")
    named: list[str] = []
    parts = {}
    for key, name in {"templates": "pattern", "pairs": "subject"}.items():
        if key not in content:
            raise BadInput(f"{path}: {key!r} is missing (expected: templates and pairs)")
        value = content[key]
        if isinstance(value, str):
            file = path.parent / value
            if file.suffix not in ROWS:
                raise BadInput(f"{path}: {key}: {value!r} (expected: a file in {', '.join(ROWS)}, or a list)")
            if reason := no_path(file):
                raise BadInput(f"{path}: {key}: {value!r:.80} can be no file: {reason}")
            named.append(str(file))
            parts[key] = list(ROWS[file.suffix](file))
        elif isinstance(value, list) and value:
            whole = [{name: one} if key == "templates" else one for one in value]
            parts[key] = [Row(str(path), f"{key}: number {n}", one) for n, one in enumerate(whole, 1)]
        else:
            raise BadInput(f"{path}: {key}: {value!r:.80} (expected: the name of a file, or a list)")
        for row in parts[key]:
            if not isinstance(row.values, Mapping):
                raise row.error(f"{row.values!r:.80} (expected: fields with names)")
    made = Made(str(path))
    notes = from_pairs(parts["pairs"], parts["templates"], path.stem, made)
    others = {key: value for key, value in content.items() if key not in parts}
    return PromptFile({**others, "prompts": made.prompts}, named, notes + made.notes)


def _entries(path: Path, rows: Sequence[Row]) -> PromptFile:
    """The category of a file of entries; the first tells in which form they are."""
    content = {"category": path.stem, "description": f"From {path.name}."}
    first = rows[0].values if rows and isinstance(rows[0].values, Mapping) else {}
    form = next((form for keys, form in FORMS.items() if keys & first.keys()), None)
    if form is None:
        return PromptFile(content | {"prompts": [_tidy(row.values) for row in rows]})
    for row in rows:
        if not isinstance(row.values, Mapping):
            raise row.error(f"{row.values!r:.80} (expected: fields with names)")
    made = Made(str(path))
    notes = form(rows, path.stem, made) or []
    return PromptFile(content | {"prompts": made.prompts}, [], notes + made.notes)


FORMS: Mapping[frozenset, Callable] = {
    frozenset({"requested_rewrite"}): counterfact,
    frozenset({"attribute", "known_id"}): known,
    frozenset({"sub_label", "obj_label", "template", "pattern"}): from_templates,
}
"""Forms of others, by the fields that they are known by."""


def _tidy(prompt: Any) -> Any:
    """A prompt without fields that are null, and a whole number where a table's export made it 1.0."""
    if not isinstance(prompt, Mapping):
        return prompt
    prompt = {key: value for key, value in prompt.items() if value is not None}
    occurrence = prompt.get("occurrence")
    if isinstance(occurrence, float) and occurrence.is_integer():
        prompt["occurrence"] = int(occurrence)
    return prompt


# Formats ------------------------------------------------------------------------------------


def _json_rows(path: Path) -> Iterator[Row]:
    value = _read_json(path)
    if not isinstance(value, list):
        raise BadInput(f"{path}: {value!r:.80} (expected: a list of entries)")
    return (Row(str(path), f"entry {n}", one) for n, one in enumerate(value, 1))


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            yield Row(str(path), f"line {number}", _parsed(line, path, number))


def _table(path: Path) -> Iterator[Row]:
    separator = {".csv": ",", ".tsv": "\t"}[path.suffix]
    reader = csv.reader(read_lines(path), delimiter=separator, strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            place = f"line {reader.line_num}"
            if not cells:
                continue
            if not header:
                header = _header(path, place, cells)
                continue
            if len(cells) != len(header):
                raise BadInput(
                    f"{path}: {place}: {len(cells)} cells (expected: {len(header)}, as in the header)"
                )
            values = {column: cell for column, cell in zip(header, cells, strict=True) if cell}
            if re.fullmatch(r"[0-9]{1,9}(\.0)?", values.get("occurrence", "")):
                values["occurrence"] = int(float(values["occurrence"]))
            yield Row(str(path), place, values)
    except csv.Error as error:
        raise BadInput(f"{path}: line {reader.line_num}: not {path.suffix[1:].upper()}: {error}") from error


def _header(path: Path, place: str, cells: list[str]) -> list[str]:
    """The names of a table's columns; those of others' forms are known as well."""
    between = "commas" if path.suffix == ".csv" else "tabs"
    expected = f"(expected: a line that names columns, {', '.join(COLUMNS)}, with {between} between)"
    form = any(keys & set(cells) for keys in FORMS)
    for column, times in Counter(cells).items():
        if column not in COLUMNS and not form:
            raise BadInput(f"{path}: {place}: unknown column {column!r:.80} {expected}")
        if times > 1:
            raise BadInput(f"{path}: {place}: column {column!r} occurs {times} times")
    return cells


ROWS: Mapping[str, Callable[[Path], Iterable[Row]]] = {
    ".json": _json_rows,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _table,
    ".tsv": _table,
}
"""How the entries of a file are read, by the end of its name."""


def _read_json(path: Path) -> Any:
    return _parsed(read_whole(path), path)


def _parsed(text: str, path: Path, line: int | None = None) -> Any:
    """What JSON says, of a whole file or of one line."""
    where = f"{path}: line {line}: " if line else f"{path}: "
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
        half = half_character(json.dumps(value, ensure_ascii=False)) if "\\u" in text else ""
    except json.JSONDecodeError as error:
        place = f"line {line or error.lineno}, character {error.colno}"
        hint = " (JSON Lines are in .jsonl)" if error.msg == "Extra data" and not line else ""
        raise BadInput(f"{path}: {place}: not JSON: {error.msg}{hint}") from error
    except KeyError as error:
        raise BadInput(f"{where}{error.args[0]}") from error
    except RecursionError as error:
        raise BadInput(f"{where}{TOO_DEEP}") from error
    except ValueError as error:  # Python reads no longer numbers
        raise BadInput(f"{where}{TOO_MANY_DIGITS}") from error
    if half:
        raise BadInput(f"{where}{half}")
    return value


def _no_constant(name: str) -> None:
    raise KeyError(f"{name} (expected: a number that JSON has, or text in quotes)")


def _once(pairs: list[tuple[str, Any]]) -> dict:
    """A JSON object, none of whose keys occurs twice: the first would silently be lost."""
    values = dict(pairs)
    if len(values) < len(pairs):
        key = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise KeyError(f"key {key!r} occurs twice in {json.dumps(values)[:80]}")
    return values
