"""What people write: YAML, checked against schemas, with one clear line for what is wrong.

No array library is imported here: this runs at every start of the pipeline.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match


class BadInput(ValueError):
    """What a person wrote is wrong; the message is one line: file, entry, field, what was expected."""


class _Loader(yaml.SafeLoader):
    """YAML in which no key stands twice: plain YAML would silently keep the last."""

    def construct_mapping(self, node, deep=False):
        keys = set()
        for key, _ in node.value:
            if key.value in keys:
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark
                )
            if key.tag != "tag:yaml.org,2002:merge":
                keys.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file.

    Raises
    ------
    BadInput
        If the file is not YAML or a key stands twice in a mapping, with the line.
    """
    try:
        return yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}:" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise BadInput(f"{path}:{where} not YAML: {problem}") from error


def check_schema(value: Any, schema: Mapping, where: str) -> None:
    """Check a value against a JSON schema.

    Raises
    ------
    BadInput
        Naming the most telling violation.
    """
    error = best_match(Draft202012Validator(schema).iter_errors(value))
    if error is not None:
        raise BadInput(f"{where}: {explain(error)}")


def explain(error: ValidationError) -> str:
    """What a schema violation comes down to, in one line."""
    field = ".".join(str(part) for part in error.absolute_path)
    prefix = f"{field}: " if field else ""
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = next(key for key in error.instance if key not in known)
        close = difflib.get_close_matches(str(unknown), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        return f"{prefix}unknown key {unknown!r}; {hint}"
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{prefix}{missing!r} is missing"
    if error.validator == "not":
        return f"{prefix}{error.schema['description']}"
    expected = error.schema.get("description")
    return f"{prefix}{error.message}" + (f" (expected: {expected})" if expected else "")
