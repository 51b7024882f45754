"""``data/prompts``: what people write about prompts, read and checked."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

import fastjsonschema
from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from strata.inputs import BadInput
from strata.schemas import explain
from strata.text.endings import check_ending
from strata.text.prompt_formats import ROWS, read_prompt_file

READ = (".yaml", *ROWS)
"""How the names of files of prompts end."""


@dataclass(frozen=True)
class PromptFiles:
    """What ``data/prompts`` holds: files and their contents by name, files that these name, and remarks."""

    categories: dict[str, dict]
    named: list[str]
    remarks: list[str]


def read_prompt_files(folder: Path, schema: Mapping) -> PromptFiles:
    """Read and check every category of ``data/prompts``.

    Raises
    ------
    BadInput
    """
    visible = _visible(folder)
    for path in visible:
        if path.suffix == ".yml":
            raise BadInput(f"{path}: would not be read (expected: {path.with_suffix('.yaml').name})")
    paths = [path for path in visible if path.suffix in READ and not path.is_dir()]
    if not paths:
        found = f"; there is {', '.join(_named(visible))}" if visible else ""
        raise BadInput(f"{folder}: no prompts (expected: at least one CATEGORY.yaml{found})")
    check_names(paths)
    files = {str(path): read_prompt_file(path) for path in paths}
    categories = {file: read.content for file, read in files.items()}
    fits = fastjsonschema.compile(schema)
    for file, content in categories.items():
        check_category(content, schema, file, fits)
    check_unique_ids(categories)
    check_pairs(categories)
    named = sorted({name for read in files.values() for name in read.named})
    used = {path for name in named for path in Path(name).parents}
    remarks = [note for read in files.values() for note in read.notes] + repeated(categories)
    if others := _named(path for path in visible if path not in paths and path not in used):
        endings = f"{', '.join(READ[:-1])} or {READ[-1]}"
        remarks.append(f"{folder}: not read: {', '.join(others)} (prompts are in CATEGORY{endings})")
    return PromptFiles(categories, named, remarks)


def _named(paths: Iterable[Path]) -> list[str]:
    return [path.name + "/" * path.is_dir() for path in paths]


def _visible(folder: Path) -> list[Path]:
    """What is in a folder, sorted, but for hidden files: those are an editor's, not a person's."""
    return [path for path in sorted(folder.glob("*")) if not path.name.startswith(".")]


def check_names(paths: Iterable[Path]) -> None:
    """Check that the files' names can be those of categories, each of another.

    Raises
    ------
    BadInput
    """
    seen: dict[str, Path] = {}
    for path in paths:
        if not re.fullmatch("[a-z][a-z0-9_]*", path.stem):
            name = re.sub("[^a-z0-9]+", "_", path.stem.lower()).strip("_")
            name = name if name[:1].isalpha() else f"prompts_{name}".rstrip("_")
            raise BadInput(
                f"{path}: its name is that of its category, of lower-case letters, digits and underscores "
                f"(expected: {name}{path.suffix})"
            )
        if path.stem in seen:
            raise BadInput(f"{path}: {seen[path.stem]} is of this category already (expected: another name)")
        seen[path.stem] = path


def check_category(content: Any, schema: Mapping, file: str, fits: Callable[[Any], Any]) -> None:
    """Check one file of data/prompts.

    Parameters
    ----------
    schema : of JSON Schema's draft 7
    fits : the same compiled, which is quick where there are thousands of prompts

    Raises
    ------
    BadInput
        Schema violations name the prompt by its id where it has one.
    """
    try:
        fits(content)
    except fastjsonschema.JsonSchemaValueException as error:
        _explain(content, schema, file, error.path[1:])
    if content["category"] != Path(file).stem:
        raise BadInput(
            f"{file}: category: {content['category']!r} is not the file's name "
            f"(expected: {Path(file).stem!r})"
        )
    sets = content.get("completion_sets", {})
    for prompt in content["prompts"]:
        if "subject" in prompt:
            check_subject(prompt, f"{file}: prompt {prompt['id']!r}")
        if "completions" in prompt and prompt["completions"] not in sets:
            raise BadInput(
                f"{file}: prompt {prompt['id']!r}: completions: {prompt['completions']!r} is not one of the "
                f"file's completion_sets (expected: {', '.join(sets) or 'it has none'})"
            )


def _explain(content: Any, schema: Mapping, file: str, path: list) -> None:
    """Refuse what does not fit the schema at ``path``; of many prompts, only the one there is looked at."""
    where = file
    if path[:1] == ["prompts"] and len(path) > 1:
        number = int(path[1]) + 1
        prompt = content["prompts"][number - 1]
        name = prompt.get("id", f"number {number}") if isinstance(prompt, dict) else number
        where = f"{file}: prompt {name!r:.80}"
        content = {**content, "prompts": [prompt]}
    error = best_match(Draft7Validator(schema).iter_errors(content))
    if list(error.absolute_path)[:2] == ["prompts", 0]:
        inner = list(error.absolute_path)[2:]
        error.path.clear()
        error.path.extend(inner)
        error.parent = None
    else:
        where = file
    raise BadInput(f"{where}: {explain(error)}")


def check_subject(prompt: Mapping, where: str) -> None:
    """Check that a prompt's subject occurs in its text, and that it is clear where.

    Parameters
    ----------
    prompt : ``text``, ``subject``, and perhaps ``occurrence``
    where : what errors call the prompt

    Raises
    ------
    BadInput
    """
    times = prompt["text"].count(prompt["subject"])
    if times == 0:
        why = _respelled(prompt["text"], prompt["subject"])
        raise BadInput(f"{where}: subject: {prompt['subject']!r} does not occur in its text{why}")
    occurrence = prompt.get("occurrence")
    if occurrence is None and times > 1:
        raise BadInput(
            f"{where}: subject: {prompt['subject']!r} occurs {times} times in its text; "
            f"say which is meant with `occurrence` (expected: 1 to {times})"
        )
    if isinstance(occurrence, float):
        raise BadInput(f"{where}: occurrence: {occurrence} (expected: {int(occurrence)}, without a point)")
    if occurrence is not None and not 1 <= occurrence <= times:
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


def repeated(categories: Mapping[str, Mapping]) -> list[str]:
    """Check that no prompt occurs twice in a file, and say where one occurs in two.

    The same are prompts of the same text, subject and target.

    Returns
    -------
    list of str
        One line for two files that share prompts.

    Raises
    ------
    BadInput
    """
    seen: dict[tuple, tuple[str, str]] = {}
    shared: dict[tuple[str, str], list[str]] = {}
    for file, content in categories.items():
        for prompt in content["prompts"]:
            what = tuple(map(prompt.get, ("text", "subject", "target", "occurrence")))
            other, name = seen.setdefault(what, (file, prompt["id"]))
            if other != file:
                shared.setdefault((other, file), []).append(f"{name!r} is {prompt['id']!r}")
            elif name != prompt["id"]:
                raise BadInput(
                    f"{file}: prompt {prompt['id']!r}: is {name!r} again: the same text, subject and target "
                    "(expected: each prompt once)"
                )
    return [
        f"{file}: {len(names)} {'prompts are' if len(names) > 1 else 'prompt is'} in {other} too "
        f"(first: {names[0]})"
        for (other, file), names in shared.items()
    ]


def check_pairs(categories: Mapping[str, Mapping]) -> None:
    """Check every ``pair``: another prompt of the category, same subject and target, of no other pair.

    Of texts that demand a word, see `check_ending`.

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
                if prompts[other].get(key) != prompt.get(key):
                    raise BadInput(f"{where} has another {key} (expected: {prompt[key]!r}, as here)")
            for one in (name, other):
                if pairs.setdefault(one, frozenset((name, other))) != {name, other}:
                    raise BadInput(f"{where}: {one!r} is of another pair already (expected: one pair each)")
            if "demands" in prompt:
                check_ending(prompt, prompts[other], f"{file}: prompt {name!r}")
