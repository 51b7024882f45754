"""The table of findings (workflow/findings.yaml), its keys of the configuration filled in.

Read when the workflow is parsed, so nothing that computes is imported here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strata.findings.asking import data_of, lacks
from strata.inputs import BadInput, read_yaml
from strata.schemas import check_braces, check_schema, setting

SHOWN = [
    "results/{model}/prompts.tsv",
    "results/{model}/text/text.nc",
    "results/{model}/trace/by_category.nc",
    "results/{model}/lens/logit.nc",
    "results/{model}/lens/probes.nc",
]
"""What the page and its figures are made from besides: the model, its prompts and text, curves."""


def read_findings(workflow: Path, config: Mapping) -> dict[str, Any]:
    """The sections with their findings; ``options`` holds what ``config`` asked for, too.

    Raises
    ------
    BadInput
        If the table is not as its schema says, or asks for a key that the configuration lacks.
    """
    file = "workflow/findings.yaml"
    table = read_yaml(workflow / "findings.yaml")
    check_schema(table, read_yaml(workflow / "schemas/findings.schema.yaml"), file)

    for key, section in table.items():
        check_braces(section.get("lead", ""), section["findings"], f"{file}: {key}.lead")
        for name, finding in section["findings"].items():
            where = f"{file}: {name}"
            for argument, path in finding["data"].items():
                check_braces(path, ("model", "twin"), f"{where}: data.{argument}")
            if "between" in finding["holds"] and finding["holds"]["between"] != sorted(
                finding["holds"]["between"]
            ):
                raise BadInput(f"{where}: holds.between: {finding['holds']['between']} is empty")
            asked = {arg: setting(config, path, where) for arg, path in finding.pop("config", {}).items()}
            finding["options"] = finding.get("options", {}) | asked
            if "decoder" in finding and finding["decoder"] not in config["lens"]["decoders"]:
                finding["lacking"] = f"lens.decoders has no {finding['decoder']}"
    return table


def files_behind(table: Mapping, models: Mapping[str, Mapping]) -> list[str]:
    """Every file that the page is written from, given the models' sections of the configuration."""
    found = {path.format(model=name) for path in SHOWN for name in models}
    return sorted(found.union(*(files_asked(table, name, models) for name in models)))


def files_asked(table: Mapping, model: str, models: Mapping[str, Mapping]) -> list[str]:
    """The files that one model's answers come from, among models that are run."""
    asked = (finding for section in table.values() for finding in section["findings"].values())
    files = (data_of(each, model, models) for each in asked if not lacks(each, model, models))
    return sorted({path for of_one in files for path in of_one.values()})
