"""Checks of everything that people write: config.yaml, data/prompts, workflow/figures.yaml, texts.

No model and no array library is imported here: this runs at every start of the pipeline.
"""

import difflib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.figure_table import Figure, expand_figures
from pipeline.models import check_sources
from pipeline.modules import check_function
from pipeline.overrides import parse_overrides
from pipeline.texts import check_texts
from strata.findings.table import read_findings
from strata.inputs import BadInput, in_one_line, no_path, read_yaml
from strata.schemas import check_schema
from strata.text.prompt_files import read_prompt_files

PATHS = ("source", "text", "long_text", "tagged_text", "token_counts")
"""Keys of a model's section that may be files or folders."""


@dataclass(frozen=True)
class Project:
    """What the rules are made from: files of prompts with contents, what these name, figures, findings."""

    prompts: Mapping[str, Mapping]
    named: list[str]
    figures: list[Figure]
    findings: Mapping[str, Mapping]


def checked(check: Callable, *given: Any) -> Any:
    """What a check returns; what it refuses ends the run with its one line."""
    try:
        return check(*given)
    except BadInput as error:
        sys.exit(str(error))


def read_config(home: Path, file: str = "config.yaml") -> Mapping:
    """The configuration as people wrote it; ``home`` is the pipeline's folder, for the message.

    Raises
    ------
    BadInput
        With its line, if it is not YAML; Snakemake would name neither.
    """
    if not Path(file).is_file():
        raise BadInput(f"{file}: no such file in {Path.cwd()} (expected: snakemake --directory {home})")
    written = read_yaml(file)
    if not isinstance(written, Mapping):
        raise BadInput(f"{file}: no sections in it (expected: those of {home}/config.yaml)")
    return written


def check_project(config: Mapping, workflow: Path, written: Mapping | None = None) -> Project:
    """Check all that the pipeline is about to read; paths are from the project's folder.

    Parameters
    ----------
    config : the configuration as Snakemake merged it
    workflow : the folder ``workflow``
    written : what `read_config` returned; strings that ``--config`` put in its place become numbers in
        ``config``, where numbers are wanted

    Raises
    ------
    BadInput
        One line: file, entry, field, what was expected.
    """

    def schema(name: str) -> Mapping:
        return read_yaml(workflow / f"schemas/{name}.schema.yaml")

    wanted = schema("config")
    if written is not None:
        parse_overrides(config, written, wanted)
    check_config(config, wanted)
    prompts = read_prompt_files(Path("data/prompts"), schema("prompts"))
    for remark in prompts.remarks:
        print(in_one_line(remark), file=sys.stderr)
    check_figures(config, prompts.categories)
    figures = read_figures(workflow, config)
    check_texts({name: config["models"][name] for name in config["run"]})
    return Project(prompts.categories, prompts.named, figures, claimed(workflow, config))


def read_figures(workflow: Path, config: Mapping) -> list[Figure]:
    """The figures of ``workflow/figures.yaml``, each with its caption and its function.

    Raises
    ------
    BadInput
    """
    file = "workflow/figures.yaml"
    table = read_yaml(workflow / "figures.yaml")
    check_schema(table, read_yaml(workflow / "schemas/figures.schema.yaml"), file)
    figures = expand_figures(table, config)
    check_captions(figures, workflow / "report")
    for figure in figures:
        check_function(figure.draw, "strata.figures", f"{file}: {figure.name}: draw")
    return figures


def claimed(workflow: Path, config: Mapping) -> dict[str, Any]:
    """The sections of ``workflow/findings.yaml``, each finding with a statistic that there is.

    Raises
    ------
    BadInput
    """
    sections = read_findings(workflow, config)
    for section in sections.values():
        for name, finding in section["findings"].items():
            where = f"workflow/findings.yaml: {name}: statistic"
            check_function(finding["statistic"], "strata.findings", where)
    return sections


def check_captions(figures: list[Figure], folder: Path, file: str = "workflow/figures.yaml") -> None:
    """Check that every figure has its caption.

    Raises
    ------
    BadInput
    """
    for figure in figures:
        if not (folder / f"{figure.caption}.rst").is_file():
            raise BadInput(f"{file}: {figure.name}: no caption (expected: {folder}/{figure.caption}.rst)")


def check_figures(config: Mapping, prompts: Mapping[str, Mapping], file: str = "config.yaml") -> None:
    """Check that the prompts whose figures are asked for exist, with a subject where one is needed.

    Raises
    ------
    BadInput
    """
    taken = {"all", *(content["category"] for content in prompts.values())}
    for name in config["hidden"]["pooled"]:
        if name in taken:
            raise BadInput(f"{file}: hidden.pooled: {name!r} names prompts already (expected: another name)")
    every = [p for content in prompts.values() for p in content["prompts"]]
    names = [p["id"] for p in every]
    explored = config["lens"]["explorer"]
    asked = {
        "lens.grid.prompts": (config["lens"]["grid"]["prompts"], names),
        "lens.explorer": ([] if explored == "all" else explored, names),
        "trace.shown": (config["trace"]["shown"], [p["id"] for p in every if "subject" in p]),
    }
    for key, (wanted, known) in asked.items():
        for prompt in wanted:
            if prompt not in known:
                close = difflib.get_close_matches(prompt, known, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise BadInput(f"{file}: {key}: no prompt {prompt!r} in data/prompts{hint}")


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
    if config["syntax"]["keys"]["triggers"] > config["syntax"]["documents"]:
        raise BadInput(f"{file}: syntax.keys.triggers: more than syntax.documents (expected: one each)")
    parts, everywhere = config["trace"]["parts"]["noise"], config["trace"]["everywhere"]
    for key, chosen in {"trace.parts.noise": parts, "trace.everywhere": everywhere}.items():
        for kind in config["trace"]["noise"]:
            for level in chosen[kind]:
                if level not in config["trace"]["noise"][kind]:
                    raise BadInput(
                        f"{file}: {key}.{kind}: {level} is not one of trace.noise.{kind} "
                        "(expected: a level at which states are traced)"
                    )
    for key in ("parts", "control"):
        traced = config["trace"][key]["categories"]
        for category in config["average"]["order"]:
            if traced is not None and category not in traced:
                raise BadInput(
                    f"{file}: average.order: {category!r} is not one of trace.{key}.categories "
                    "(expected: categories that are traced there, or null there)"
                )
    levels = [*(f"{level:g}" for level in parts["absolute"]), *(f"{level:g}x" for level in parts["relative"])]
    if config["figures"]["noise"] not in levels:
        raise BadInput(
            f"{file}: figures.noise: {config['figures']['noise']!r} is not one of trace.parts.noise "
            f"(expected: {', '.join(map(repr, levels))})"
        )
    contrast = config["attention"]["contrast"]
    for category in contrast["facts"]:
        if category in contrast["rote"]:
            raise BadInput(f"{file}: attention.contrast: {category!r} is both (expected: facts or rote)")
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
    for name, model in config["models"].items():
        twin = model.get("twin")
        if twin is not None and (twin == name or twin not in config["models"]):
            raise BadInput(
                f"{file}: models.{name}.twin: {twin!r} is no other model (expected: one under models)"
            )
    for name in config["run"]:
        section = config["models"][name]
        paths = {key: section.get(key) for key in PATHS}
        paths |= {f"lenses.{decoder}": lens for decoder, lens in section.get("lenses", {}).items()}
        for key, path in paths.items():
            if path and (reason := no_path(path)):
                raise BadInput(f"{file}: models.{name}.{key}: {path!r:.80} can be no file: {reason}")
    check_sources(config, file)
    for name in config["run"]:
        for decoder, lens in config["models"][name].get("lenses", {}).items():
            needed = {"tuned": ["config.json", "params.pt"], "jacobian": [""]}[decoder]
            files = [Path(lens).expanduser() / part for part in needed]
            if not all(path.is_file() for path in files):
                expected = "a folder with config.json and params.pt" if decoder == "tuned" else "a file"
                raise BadInput(
                    f"{file}: models.{name}.lenses.{decoder}: no lens at {lens!r} (expected: {expected})"
                )
            for path in files:
                if not path.stat().st_size:
                    raise BadInput(f"{file}: models.{name}.lenses.{decoder}: the file {path} is empty")
