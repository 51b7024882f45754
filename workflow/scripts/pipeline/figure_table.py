"""The table of figures (workflow/figures.yaml): the one place that says what figures there are.

Read when the workflow is parsed, so nothing that draws is imported here.
"""

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from strata.inputs import BadInput
from strata.schemas import check_braces, setting

FOLDER = "results/{model}/figures"


@dataclass(frozen=True)
class Figure:
    """One figure, its row's wildcards filled in; ``{model}`` is left for Snakemake.

    ``draw`` is a function of `strata.figures`, ``module.function``; ``data`` its arguments that are files;
    ``options`` its other arguments. ``needs`` is one of `pipeline.models.features_of` a model: one
    without it has no such figure. ``asked``: whether a run makes it, or only who names
    it. ``format``: svg or pdf, of what is saved besides the PNG.
    """

    name: str
    job: str
    draw: str
    data: Mapping[str, str]
    options: Mapping[str, Any]
    section: str
    labels: Mapping[str, str]
    caption: str
    folder: str
    across: bool
    first_look: str
    needs: str
    asked: bool
    format: str

    @property
    def png(self) -> str:
        return f"{self.folder}/{self.name}.png"

    @property
    def drawing(self) -> str:
        return f"{self.folder}/{self.name}.{self.format}"

    @property
    def module(self) -> str:
        """The module of its function."""
        return f"strata.figures.{self.draw.rpartition('.')[0]}"

    def how(self) -> dict[str, Any]:
        """What the job that draws it needs to know: a change of anything else redraws nothing."""
        return {"draw": self.draw, "data": dict(self.data), "options": dict(self.options)} | (
            {"first_look": self.first_look} if self.first_look else {}
        )


def expand_figures(
    table: Mapping[str, Mapping], config: Mapping, file: str = "workflow/figures.yaml"
) -> list[Figure]:
    """Every figure of a configuration, in the order of the table, which numbers them within their sections.

    Reports sort figures by their labels: the number leads.

    Raises
    ------
    BadInput
        If a row names a key that the configuration lacks, or two rows make one name.
    """
    figures, numbers = [], Counter()
    for row, content in table.items():
        numbers[content["section"]] += 1
        figures += _expand(row, content, config, file, numbers[content["section"]])
    names = [figure.png for figure in figures]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"{file}: two rows produce {name}")
    return figures


def jobs(figures: Sequence[Figure]) -> dict[str, list[Figure]]:
    """Figures by the job that draws them, sorted by name: the order of the table changes nothing."""
    names = dict.fromkeys(figure.job for figure in figures)
    return {job: sorted((f for f in figures if f.job == job), key=lambda f: f.name) for job in names}


def asked_for(figures: Sequence[Figure], models: Mapping[str, Container[str]]) -> list[str]:
    """The pictures that a run makes of some models, given the features that each has."""
    return [
        path.format(model=name)
        for figure in figures
        for name, features in models.items()
        if figure.asked and figure.job != "training" and (not figure.needs or figure.needs in features)
        for path in (figure.png, figure.drawing)
    ]


def index(table: Mapping[str, Mapping], captions: Mapping[str, str]) -> str:
    """An index of all figures in Markdown.

    Parameters
    ----------
    table : rows by name
    captions : their texts, by the names of their files without ``.rst``
    """
    lines = [
        "# Figures",
        "",
        "Written from `workflow/figures.yaml` and `workflow/report/` by `make docs`.",
        "",
    ]
    for section in dict.fromkeys(row["section"] for row in table.values()):
        lines += [f"## {section}", ""]
        for name, row in table.items():
            if row["section"] == section:
                data = ", ".join(f"`{path}`" for path in row["data"].values())
                caption = " ".join(captions[row.get("caption", name)].split())
                caption = re.sub(r"\{\{.*?\}\}", "the model", caption)
                lines += [f"### `{name}`", "", caption, ""]
                lines += [f"Drawn by `strata.figures.{row['draw']}` from {data}.", ""]
    return "\n".join(lines)


def _check_wildcards(row: str, content: Mapping, known: Sequence[str], where: str) -> None:
    texts = {"name": row, "folder": content.get("folder", FOLDER)}
    for key in ("labels", "data", "options"):
        texts |= {f"{key}.{name}": text for name, text in content.get(key, {}).items()}
    for key, text in texts.items():
        if isinstance(text, str):
            check_braces(text, known, f"{where}: {key}")


def _expand(row: str, content: Mapping, config: Mapping, file: str, number: int) -> list[Figure]:
    where = f"{file}: {row}"
    each = {wildcard: setting(config, key, where) for wildcard, key in content.get("each", {}).items()}
    for wildcard, values in each.items():
        if not isinstance(values, list):
            raise BadInput(f"{where}: each: {content['each'][wildcard]} is no list, but {values!r:.80}")
    _check_wildcards(row, content, [*each, "model"], where)

    def one(**values: str) -> Figure:
        def filled(text: Any) -> Any:
            return text.format(**values, model="{model}") if isinstance(text, str) else text

        def all_filled(mapping: Mapping) -> dict[str, Any]:
            return {key: filled(value) for key, value in mapping.items()}

        labels = all_filled(content["labels"])
        from_config = {
            argument: setting(config, key, where) for argument, key in content.get("config", {}).items()
        }
        return Figure(
            name=filled(row),
            job=content["job"],
            draw=content["draw"],
            data=all_filled(content["data"]),
            options=all_filled(content.get("options", {})) | from_config,
            section=content["section"],
            labels=labels | {"figure": f"{number:02} {labels['figure']}"},
            caption=content.get("caption", row),
            folder=content.get("folder", FOLDER),
            across=content.get("across", False),
            first_look=content.get("first_look", ""),
            needs=content.get("needs", ""),
            asked="asked" not in content or setting(config, content["asked"], where),
            format=config["figures"]["format"],
        )

    return [one(**dict(zip(each, values, strict=True))) for values in product(*each.values())]
