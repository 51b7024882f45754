"""Values given with ``--config``: inside a section, Snakemake hands all of them over as strings."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from jsonschema import Draft202012Validator

Path = tuple[str | int, ...]


def parse_overrides(config: Any, written: Any, schema: Mapping) -> None:
    """Turn strings of a configuration into what the schema wants, in place, where they can be read as that.

    Strings that stand so in the file were meant as strings, and are left alone. A null is taken for a null
    wherever there may be one.

    Parameters
    ----------
    config : the configuration as Snakemake merged it
    written : the file ``config.yaml``
    schema : of the configuration
    """
    validator = Draft202012Validator(schema)
    for path, text in list(_strings(config)):
        if _at(written, path) == text:
            continue
        value = _parsed(text)
        if isinstance(value, str) or (value is not None and _is_right(validator, config, path)):
            continue
        _put(config, path, value)
        if not _is_right(validator, config, path):
            _put(config, path, text)


def _parsed(text: str) -> Any:
    """A string as a number, a boolean or null; itself if it is none of them."""
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)e[-+]?\d+", text, re.IGNORECASE):
        return float(text)  # 2e-2 is a string in YAML 1.1
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text
    return value if value is None or isinstance(value, bool | int | float) else text


def _strings(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    inner = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, part in inner:
        if isinstance(part, str):
            yield (*path, key), part
        else:
            yield from _strings(part, (*path, key))


def _is_right(validator: Draft202012Validator, config: Any, path: Path) -> bool:
    """Whether the schema finds nothing wrong with the value in a place."""
    return all(tuple(error.absolute_path) != path for error in validator.iter_errors(config))


def _at(value: Any, path: Path) -> Any:
    """The value in a place, None if there is none."""
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _put(config: Any, path: Path, value: Any) -> None:
    _at(config, path[:-1])[path[-1]] = value
