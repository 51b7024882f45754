"""``data/prompts``: what people write about prompts, read and checked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unicodedata import normalize

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from strata.inputs import BadInput, read_yaml
from strata.schemas import explain
from strata.text.prompts import occurrences


def read_prompt_files(folder: Path, schema: Mapping) -> dict[str, dict]:
    """Read and check every category of ``data/prompts``: file to its content, sorted by name.

    Raises
    ------
    BadInput
    """
    for path in _visible(folder):
        if path.suffix == ".yml":
            raise BadInput(f"{path}: would not be read (expected: {path.with_suffix('.yaml').name})")
    files = {str(path): read_yaml(path) for path in _visible(folder) if path.suffix == ".yaml"}
    if not files:
        found = f"; there is {', '.join(others)}" if (others := not_prompts(folder)) else ""
        raise BadInput(f"{folder}: no prompts (expected: at least one CATEGORY.yaml{found})")
    for file, content in files.items():
        check_category(content, schema, file)
    check_unique_ids(files)
    check_pairs(files)
    return files


def not_prompts(folder: Path) -> list[str]:
    """What else is in ``data/prompts``, by name: it is not read."""
    return [path.name + "/" * path.is_dir() for path in _visible(folder) if path.suffix != ".yaml"]


def _visible(folder: Path) -> list[Path]:
    """What is in a folder, sorted, but for hidden files: those are an editor's, not a person's."""
    return [path for path in sorted(folder.glob("*")) if not path.name.startswith(".")]


def check_category(content: Any, schema: Mapping, file: str) -> None:
    """Check one file of data/prompts.

    Raises
    ------
    BadInput
        Schema violations name the prompt by its id where it has one.
    """
    error = best_match(Draft202012Validator(schema).iter_errors(content))
    if error is not None:
        path = list(error.absolute_path)
        if len(path) >= 2 and path[0] == "prompts":
            entry = content["prompts"][path[1]]
            name = entry.get("id", f"number {path[1] + 1}") if isinstance(entry, dict) else path[1] + 1
            inner = error
            inner.path.clear()
            inner.path.extend(path[2:])
            inner.parent = None
            raise BadInput(f"{file}: prompt {name!r}: {explain(inner)}")
        raise BadInput(f"{file}: {explain(error)}")
    if content["category"] != Path(file).stem:
        raise BadInput(
            f"{file}: category: {content['category']!r} is not the file's name "
            f"(expected: {Path(file).stem!r})"
        )
    sets = content.get("completion_sets", {})
    for prompt in content["prompts"]:
        if "subject" in prompt:
            _check_subject(prompt, f"{file}: prompt {prompt['id']!r}")
        if "completions" in prompt and prompt["completions"] not in sets:
            raise BadInput(
                f"{file}: prompt {prompt['id']!r}: completions: {prompt['completions']!r} is not one of the "
                f"file's completion_sets (expected: {', '.join(sets) or 'it has none'})"
            )


def _check_subject(prompt: Mapping, where: str) -> None:
    times = len(occurrences(prompt["text"], prompt["subject"]))
    if times == 0:
        why = _respelled(prompt["text"], prompt["subject"])
        raise BadInput(f"{where}: subject: {prompt['subject']!r} does not occur in its text{why}")
    occurrence = prompt.get("occurrence")
    if occurrence is None and times > 1:
        raise BadInput(
            f"{where}: subject: {prompt['subject']!r} occurs {times} times in its text; "
            f"say which is meant with `occurrence` (expected: 1 to {times})"
        )
    if occurrence is not None and occurrence > times:
        raise BadInput(f"{where}: occurrence: {occurrence}, but the subject occurs {times} times")


def _respelled(text: str, subject: str) -> str:
    """How letters with accents differ, where text and subject differ in Unicode normalisation alone.

    They look the same. They are not matched all the same, since offsets would be those of another text.
    """
    composed = normalize("NFC", subject)
    if composed not in normalize("NFC", text):
        return ""
    advice = "(expected: the same characters; copy the subject from the text)"
    for letter in composed:
        parts = normalize("NFD", letter)
        inside, other = (letter, parts) if letter in subject else (parts, letter)
        if inside != other and inside in subject and other in text:
            there, here = (("one character", f"{len(s)} characters")[len(s) > 1] for s in (other, inside))
            return f": {letter} is written as {there} in the text, as {here} in the subject {advice}"
    return f": its letters with accents are other characters {advice}"


def check_unique_ids(categories: Mapping[str, Mapping]) -> None:
    """Check that no id occurs twice, within a file or over files.

    Raises
    ------
    BadInput
    """
    seen: dict[str, str] = {}
    for file, content in categories.items():
        for prompt in content["prompts"]:
            if prompt["id"] in seen:
                raise BadInput(f"{file}: prompt {prompt['id']!r}: id is used already in {seen[prompt['id']]}")
            seen[prompt["id"]] = file


def check_pairs(categories: Mapping[str, Mapping]) -> None:
    """Check every ``pair``: another prompt of the category, same subject and target, of no other pair.

    Raises
    ------
    BadInput
    """
    category_of = {
        p["id"]: content["category"] for content in categories.values() for p in content["prompts"]
    }
    for file, content in categories.items():
        prompts = {prompt["id"]: prompt for prompt in content["prompts"]}
        pairs: dict[str, frozenset] = {}
        for name, prompt in prompts.items():
            if "pair" not in prompt:
                continue
            other = prompt["pair"]
            where = f"{file}: prompt {name!r}: pair: {other!r}"
            if other == name:
                raise BadInput(f"{where} is the prompt itself (expected: the id of another)")
            if other not in category_of:
                raise BadInput(f"{where} is no prompt (expected: an id of {file})")
            if other not in prompts:
                raise BadInput(f"{where} is of category {category_of[other]!r} (expected: an id of {file})")
            for key in ("subject", "target"):
                if prompts[other].get(key) != prompt[key]:
                    raise BadInput(f"{where} has another {key} (expected: {prompt[key]!r}, as here)")
            for one in (name, other):
                if pairs.setdefault(one, frozenset((name, other))) != {name, other}:
                    raise BadInput(f"{where}: {one!r} is of another pair already (expected: one pair each)")
