"""Files that people write are read, and what is wrong with one is a line."""

import pytest
import yaml

from strata.inputs import BadInput, read_lines, read_start, read_yaml
from strata.schemas import check_schema
from strata.text import plain
from strata.text.plain import check_text, paragraphs, read_documents


def refused(read, *arguments) -> str:
    with pytest.raises(BadInput) as error:
        read(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1789-14-07", "YAML reads 1789-14-07 as timestamp: month must be in 1..12"),
        ("2001-02-30 10:00:00", "(expected: in quotes, '2001-02-30 10:00:00', if text)"),
        ("0b_", "YAML reads 0b_ as int"),
        ("!!bool x", "YAML reads x as bool"),
    ],
)
def test_values_that_yaml_cannot_make_are_a_line(tmp_path, value, expected):
    (tmp_path / "x.yaml").write_text(f"a: 1\nb: [1, {{c: {value}}}]\n")
    said = refused(read_yaml, tmp_path / "x.yaml")
    assert said.startswith(f"{tmp_path / 'x.yaml'}: line 2: ") and expected in said


@pytest.mark.parametrize("key", ["350", "no", "null", "1789-07-14", "1.5"])
def test_keys_are_text(tmp_path, key):
    (tmp_path / "x.yaml").write_text(f"a:\n  {key}: 1\n")
    said = refused(read_yaml, tmp_path / "x.yaml")
    assert said.endswith(f"line 2: YAML does not read the key {key} as text (expected: in quotes, '{key}')")
    (tmp_path / "x.yaml").write_text(f"a:\n  '{key}': 1\n")
    assert read_yaml(tmp_path / "x.yaml") == {"a": {key: 1}}


def test_other_mistakes_in_yaml_are_a_line(tmp_path):
    (tmp_path / "x.yaml").write_text("a: {{b}}\n")
    assert "line 1: a key that is a list or a mapping" in refused(read_yaml, tmp_path / "x.yaml")
    (tmp_path / "x.yaml").write_text("a: b\x01\n")
    assert "not YAML: unacceptable character" in refused(read_yaml, tmp_path / "x.yaml")
    assert "cannot be read: No such file" in refused(read_yaml, tmp_path / "y.yaml")
    (tmp_path / "x.yaml").write_text("base: &base {c: 1}\na: {<<: *base, d: 2}\n")
    assert read_yaml(tmp_path / "x.yaml")["a"] == {"c": 1, "d": 2}


@pytest.mark.parametrize(
    ("written", "kinds", "expected"),
    [
        (
            "1789-07-14",
            "string",
            "x: YAML takes 1789-07-14 for a date (expected: text, in quotes: '1789-07-14')",
        ),
        (
            "no",
            "string",
            "x: False is what YAML makes of no and the like (expected: text in quotes, as 'no')",
        ),
        ("350", ["string", "null"], "x: 350 is a number (expected: text, in quotes: '350')"),
        ("2e-2", "number", "x: YAML takes 2e-2 for text (expected: a number, as 2.0e-2 or 0.02)"),
        ("1.5E3", "number", "x: YAML takes 1.5E3 for text (expected: a number, as 1.5e+3 or 1500)"),
        ("1e3", "integer", "x: YAML takes 1e3 for text (expected: a whole number, as 1000)"),
        ("1e-3", "integer", "x: '1e-3' is not of type 'integer'"),
        ("ten", "number", "x: 'ten' is not of type 'number'"),
    ],
)
def test_a_value_of_another_type_is_told_how_to_write(written, kinds, expected):
    schema = {"properties": {"x": {"type": kinds}}}
    value = yaml.safe_load(f"x: {written}")
    assert refused(check_schema, value, schema, "f") == f"f: {expected}"


@pytest.mark.parametrize("spelled", ["2.0e-2", "1.5e+3", "2.0e+5"])
def test_the_numbers_that_are_advised_are_numbers(spelled):
    assert isinstance(yaml.safe_load(spelled), float)


def test_lines_are_utf8_with_or_without_a_mark(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo \xc3\xa9")
    assert list(read_lines(path)) == ["one\n", "two é"]
    assert read_start(path, 3) == ("one", False) and read_start(path, 9) == ("one\ntwo é", True)


def test_a_byte_that_is_not_utf8_is_found(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"one\n" * 50_000 + "caf\xe9\n".encode("latin-1"))
    said = refused(list, read_lines(path))
    assert said.startswith(f"{path}: line 50001, byte 4 (0xe9): not UTF-8") and "iconv" in said
    assert read_start(path, 100)[0] == "one\n" * 25
    assert "line 50001" in refused(read_start, path, 10**6)


def test_paragraphs_are_parted_by_blank_lines():
    lines = ["\n", "one\n", "two\n", "  \n", "\n", "three\n", "\tfour"]
    assert list(paragraphs(lines)) == ["one\ntwo", "three\n\tfour"]
    assert list(paragraphs([])) == []


RECORDS = "".join(f'{{"text": "document {i}"}}\n' for i in range(20))
LINES = "".join(f"document {i}\n" for i in range(20))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\n" + RECORDS, "line 2: JSON lines (expected: plain text, its documents separated by blank lines)"),
        (LINES, "1 document in lines 1 to 20 (expected: 3 or more, separated by blank lines)"),
        ("one\n\ntwo\n", "2 documents in lines 1 to 3 (expected: 3 or more"),
        ("\n\n", "0 documents (expected: 3 or more"),
        ("one\n\ntwo\n\ncaf\xe9\n", "line 5, byte 4 (0xe9): not UTF-8"),
    ],
)
def test_a_text_file_that_is_no_documents_is_a_line(tmp_path, content, expected):
    (tmp_path / "x.txt").write_bytes(content.encode("latin-1"))
    assert refused(check_text, tmp_path / "x.txt").startswith(f"{tmp_path / 'x.txt'}: {expected}")


@pytest.mark.parametrize(
    ("content", "documents"),
    [
        ("one\n\ntwo\r\n\r\nthree", ["one", "two", "three"]),
        ("\ufeffone\n \ntwo\n\n{}\n", ["one", "two", "{}"]),
        ("{}\n\n{}\n\n{}\n", ["{}", "{}", "{}"]),
    ],
)
def test_a_text_file_of_documents_passes(tmp_path, content, documents):
    (tmp_path / "x.txt").write_text(content, encoding="utf-8", newline="")
    check_text(tmp_path / "x.txt")
    assert list(read_documents(tmp_path / "x.txt")) == documents


def test_only_the_start_of_a_file_is_checked_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(plain, "START", 105)  # cuts a record
    path = tmp_path / "x.txt"
    path.write_text(LINES)
    assert "no blank line in lines 1 to 9 (expected" in refused(check_text, path)
    path.write_text(RECORDS)
    assert "line 1: JSON lines" in refused(check_text, path)
    # What comes later is the job's to find.
    path.write_bytes(b"one\n\n" + b"two\n" * 3000 + b"\ncaf\xe9\n")
    check_text(path)
    assert "line 3004, byte 4 (0xe9): not UTF-8" in refused(list, read_documents(path))
    path.write_text("one\n\n" + "two\n" * 3000)
    check_text(path)
    assert refused(list, read_documents(path)).startswith(f"{path}: 2 documents (expected: 3 or more")
