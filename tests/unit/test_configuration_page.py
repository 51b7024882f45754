"""docs/configuration.md: it is what the script writes, and has every key with its comment."""

import pytest
import write_configuration
import yaml
from write_configuration import FILE, PAGE, SCHEMA, Commented, Key, allowed, configuration_page, read_schema

COMMENTED = """\
# What this is.

# A section,
# in two lines.
first:
  plain: 1              # one line
  flow: {a: [1], b: []}   # of two lines, the second
                        # alone on its line
  inner:                # a section inside
    text: "a # b"       # no comment in it
    bare: x
# Another.
second: [a]
"""


def test_the_page_is_of_the_configuration():
    assert configuration_page() == PAGE.read_text(encoding="utf-8"), "run `make docs`"


def values(schema, name=""):
    """Names of all keys that have a value and no keys of their own."""
    inside = schema.get("properties", {})
    for key, part in inside.items():
        yield from values(part, f"{name}.{key}".lstrip("."))
    if name and not inside:
        yield name


def test_every_key_of_the_schema_is_on_the_page():
    page = PAGE.read_text(encoding="utf-8")
    for section, schema in read_schema(SCHEMA)["properties"].items():
        own = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
        schema = schema["additionalProperties"] if section == "models" else schema
        for name in values(schema):
            line = name.rpartition(".")[0]  # what stands on one line in the file has one row
            assert f"`{name}`" in own or f"`{line}`" in own, f"{section}: {name}"


def test_comments_are_read_whole():
    file = Commented(COMMENTED)
    assert file.about() == "What this is."
    (first, about, node), (second, other, _) = file.sections()
    assert (first, about, second, other) == ("first", "A section, in two lines.", "second", "Another.")
    assert list(file.keys(node)) == [
        Key("plain", "1", "one line"),
        Key("flow", "{a: [1], b: []}", "of two lines, the second alone on its line"),
        Key("inner", "", "a section inside"),
        Key("inner.text", '"a # b"', "no comment in it"),
        Key("inner.bare", "x", ""),
    ]


@pytest.mark.parametrize(
    "schema, words",
    [
        ("{type: boolean}", "`true`, `false`"),
        ("{type: integer, minimum: 2, maximum: 9}", "a whole number from 2 to 9"),
        ("{type: number, minimum: 0, exclusiveMaximum: 1}", "a number from 0 below 1"),
        ("{type: array, items: {enum: [a, b]}}", "a list of `a`, `b`"),
        ("{anyOf: [{const: all}], description: a word}", "a word"),
        ("{properties: {a: {enum: [x]}, b: {type: string}, c: {enum: [x]}}}", "`a`, `c`: `x`; `b`: a text"),
    ],
)
def test_what_a_value_may_be_in_words(schema, words):
    assert allowed(yaml.safe_load(schema)) == words


def test_a_key_that_the_schema_lacks_is_an_error(monkeypatch, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(FILE.read_text(encoding="utf-8").replace("top_k: ", "top: "), encoding="utf-8")
    monkeypatch.setattr(write_configuration, "FILE", file)
    with pytest.raises(KeyError):
        configuration_page()
