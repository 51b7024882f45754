"""Checks of config.yaml beyond its schema: one clear line for what is wrong.

No model and no array library is imported here: this runs at every start of the pipeline.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path

from strata.inputs import BadInput, check_schema
from strata.model.source import is_folder_source


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
