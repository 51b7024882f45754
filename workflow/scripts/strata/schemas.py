"""Checks of what people write against JSON schemas: one clear line for what is wrong."""

import datetime
import difflib
import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from math import isfinite
from string import Formatter
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend

from strata.inputs import BadInput


def _is_number(_checker, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_integer(_checker, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"number": _is_number, "integer": _is_integer}
    ),
)
"""JSON's numbers: YAML's ``.nan`` and ``.inf`` are none, and would pass every comparison; 3.0 is no count."""

LONGEST = 160
"""Characters of what is said of a value, at most: values are quoted, and may be long."""


def check_schema(value: Any, schema: Mapping, where: str) -> None:
    """Check a value against a JSON schema.

    Raises
    ------
    BadInput
        Naming the most telling violation.
    """
    error = best_match(_Validator(schema).iter_errors(value))
    if error is not None:
        raise BadInput(f"{where}: {explain(error)}")


def check_braces(text: str, known: Collection[str], where: str) -> None:
    """Check that known names alone stand in braces, as themselves, in a text that is to be filled in.

    Raises
    ------
    BadInput
    """
    try:
        fields = [field[1:] for field in Formatter().parse(text) if field[1] is not None]
    except ValueError as error:
        raise BadInput(f"{where}: {text!r:.80}: {error}") from error
    for name, spec, conversion in fields:
        if name not in known or spec or conversion:
            raise BadInput(f"{where}: no wildcard {name!r:.80} (expected: {', '.join(known) or 'none'})")


def setting(config: Mapping, key: str, where: str) -> Any:
    """The value of a key, ``section.key``, of a configuration.

    Raises
    ------
    BadInput
        If there is none.
    """
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise BadInput(f"{where}: config.yaml has no key {key!r:.80}")
        value = value[part]
    return value


def explain(error: ValidationError) -> str:
    """What a schema violation comes down to, in one line."""
    field = ".".join(str(part) for part in error.absolute_path)
    prefix = f"{field}: " if field else ""
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = next(key for key in error.instance if key not in known)
        close = difflib.get_close_matches(str(unknown), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        return f"{prefix}unknown key {unknown!r:.80}; {hint}"
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{prefix}{missing!r} is missing"
    if error.validator == "not":
        return f"{prefix}{error.schema['description']}"
    expected = error.schema.get("description")
    if error.validator == "type" and (meant := _meant(error.instance, error.validator_value)):
        return f"{prefix}{meant}"
    return f"{prefix}{_clipped(error.message)}" + (f" (expected: {expected})" if expected else "")


def _clipped(said: str) -> str:
    """What is said, without the middle of what is long."""
    half = LONGEST // 2
    return said if len(said) <= LONGEST else f"{said[:half]} ... {said[-half:]}"


def _meant(value: Any, kinds: str | list[str]) -> str:
    """What to write where YAML reads a text as something else, or a number as text; empty if it does not."""
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "string" in kinds:
        if isinstance(value, bool):
            word = "yes" if value else "no"
            return (
                f"{value} is what YAML makes of {word} and the like (expected: text in quotes, as '{word}')"
            )
        if isinstance(value, datetime.date):
            return f"YAML takes {value} for a date (expected: text, in quotes: '{value}')"
        if isinstance(value, float) and not isfinite(value):
            return f"{value} is not finite (expected: a number, or text)"
        if isinstance(value, int | float):
            return f"{value} is a number (expected: text, in quotes: '{value}')"
    elif isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d*)?e[-+]?\d{1,2}", value, re.IGNORECASE):
        # YAML 1.1 has a point in such numbers, and a sign behind the e.
        number = Decimal(value)
        if "number" in kinds:
            return f"YAML takes {value} for text (expected: a number, as {_with_point(value)} or {number:f})"
        if "integer" in kinds and number == int(number):
            return f"YAML takes {value} for text (expected: a whole number, as {int(number)})"
    return ""


def _with_point(number: str) -> str:
    """A number such as 2e5, as YAML 1.1 spells it: 2.0e+5."""
    digits, _, exponent = number.lower().partition("e")
    digits = digits if "." in digits else f"{digits}.0"
    return f"{digits}e{exponent if exponent[0] in '+-' else '+' + exponent}"
