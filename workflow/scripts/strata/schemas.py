"""Checks of what people write against JSON schemas: one clear line for what is wrong."""

import difflib
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from strata.inputs import BadInput


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
