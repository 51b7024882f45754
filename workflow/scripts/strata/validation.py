"""Checks of what people write, config.yaml and data/prompts: one clear line for what is wrong.

No model and no array library is imported here: this runs at every start of the pipeline.
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


def read_prompt_files(folder: Path, schema: Mapping) -> dict[str, dict]:
    """Read and check every category of ``data/prompts``: file to its content, sorted by name.

    Raises
    ------
    BadInput
    """
    for path in folder.glob("*.yml"):
        raise BadInput(f"{path}: would not be read (expected: {path.with_suffix('.yaml').name})")
    files = {str(path): read_yaml(path) for path in sorted(folder.glob("*.yaml"))}
    if not files:
        raise BadInput(f"{folder}: no prompts (expected: at least one CATEGORY.yaml)")
    for file, content in files.items():
        check_category(content, schema, file)
    check_unique_ids(files)
    return files


def check_figures(config: Mapping, prompts: Mapping[str, Mapping], file: str = "config.yaml") -> None:
    """Check that the prompts whose figures are asked for exist, with a subject where one is needed.

    Raises
    ------
    BadInput
    """
    every = [p for content in prompts.values() for p in content["prompts"]]
    names = [p["id"] for p in every]
    pages = config["lens"]["pages"]
    asked = {
        "lens.grid.prompts": (config["lens"]["grid"]["prompts"], names),
        "lens.pages": ([] if pages == "all" else pages, names),
        "average.figures": (config["average"]["figures"], [p["id"] for p in every if "subject" in p]),
    }
    for key, (wanted, known) in asked.items():
        for prompt in wanted:
            if prompt not in known:
                close = difflib.get_close_matches(prompt, known, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise BadInput(f"{file}: {key}: no prompt {prompt!r} in data/prompts{hint}")


def check_schema(value: Any, schema: Mapping, where: str) -> None:
    """Check a value against a JSON schema.

    Raises
    ------
    BadInput
        Naming the most telling violation.
    """
    error = best_match(Draft202012Validator(schema).iter_errors(value))
    if error is not None:
        raise BadInput(f"{where}: {_explain(error)}")


def _explain(error: ValidationError) -> str:
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


def is_folder_source(source: str) -> bool:
    """Whether a model's source means a folder rather than a hub id (``name`` or ``owner/name``)."""
    return source.startswith((".", "/", "~")) or source.count("/") >= 2 or Path(source).is_dir()


def check_config(config: Mapping, schema: Mapping, file: str = "config.yaml") -> None:
    """Check the whole configuration, and that the models it runs are declared and there.

    Raises
    ------
    BadInput
    """
    check_schema(config, schema, file)
    first, end = config["lens"]["grid"]["window"]
    if first >= end:
        raise BadInput(
            f"{file}: lens.grid.window: [{first}, {end}] is empty (expected: [first, one past the last])"
        )
    for decoder in config["lens"]["grid"]["decoders"]:
        if decoder not in config["lens"]["decoders"]:
            raise BadInput(f"{file}: lens.grid.decoders: {decoder!r} is not one of lens.decoders")
    for section, kind in (("text", "a text file"), ("syntax", "a CoNLL-U file")):
        source = config[section]["source"]
        if source != "organism" and not Path(source).expanduser().is_file():
            raise BadInput(f"{file}: {section}.source: no file {source!r} (expected: organism, or {kind})")
    if config["syntax"]["keys"]["triggers"] > config["syntax"]["documents"]:
        raise BadInput(f"{file}: syntax.keys.triggers: more than there are documents (expected: one each)")
    for kind, levels in config["trace"]["parts"]["noise"].items():
        for level in levels:
            if level not in config["trace"]["noise"][kind]:
                raise BadInput(
                    f"{file}: trace.parts.noise.{kind}: {level} is not one of trace.noise.{kind} "
                    "(expected: levels that states are traced at too)"
                )
    recipe = config["organism"]["recipe"]
    if recipe["n_channels"] % recipe["n_heads"]:
        raise BadInput(
            f"{file}: organism.recipe.n_heads: {recipe['n_heads']} heads do not divide "
            f"{recipe['n_channels']} channels"
        )
    for name in config["run"]:
        if name not in config["models"]:
            close = difflib.get_close_matches(name, config["models"], n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"declared are {', '.join(config['models'])}"
            raise BadInput(f"{file}: run: {name!r} is not declared under models; {hint}")
        source = config["models"][name]["source"]
        if is_folder_source(source) and not (Path(source).expanduser() / "config.json").is_file():
            raise BadInput(
                f"{file}: models.{name}.source: no model in folder {source!r} "
                "(expected: a folder with config.json, or a Hugging Face id owner/name)"
            )
        for decoder, lens in config["models"][name].get("lenses", {}).items():
            needed = {"tuned": ["config.json", "params.pt"], "jacobian": [""]}[decoder]
            if not all((Path(lens).expanduser() / part).is_file() for part in needed):
                expected = "a folder with config.json and params.pt" if decoder == "tuned" else "a file"
                raise BadInput(
                    f"{file}: models.{name}.lenses.{decoder}: no lens at {lens!r} (expected: {expected})"
                )


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
            raise BadInput(f"{file}: prompt {name!r}: {_explain(inner)}")
        raise BadInput(f"{file}: {_explain(error)}")
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
                f"file's completion_sets (expected: {', '.join(sets) or 'none is there'})"
            )


def _check_subject(prompt: Mapping, where: str) -> None:
    times = prompt["text"].count(prompt["subject"])
    if times == 0:
        raise BadInput(f"{where}: subject: {prompt['subject']!r} does not occur in its text")
    occurrence = prompt.get("occurrence")
    if occurrence is None and times > 1:
        raise BadInput(
            f"{where}: subject: {prompt['subject']!r} occurs {times} times in its text; "
            f"say which is meant with `occurrence` (expected: 1 to {times})"
        )
    if occurrence is not None and occurrence > times:
        raise BadInput(f"{where}: occurrence: {occurrence}, but the subject occurs {times} times")


def check_unique_ids(categories: Mapping[str, Mapping]) -> None:
    """Check that no id stands twice, within a file or over files.

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
