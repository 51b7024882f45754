"""Files of results as rules name them: those of the job's model, and figures and pages for the report."""

from collections.abc import Sequence

from snakemake.io import expand, report

from pipeline.figure_table import Figure


def of_model(**files: str) -> dict[str, str]:
    """Files under the results of the job's model, by the names that a rule gives them."""
    return {name: f"results/{{model}}/{file}" for name, file in files.items()}


def drawn_from(figure: Figure, models: Sequence[str]) -> Sequence[str]:
    """The files that a figure is drawn from; those of all ``models``, where it shows them together."""
    return expand(figure.data.values(), model=models) if figure.across else [*figure.data.values()]


def in_report(figure: Figure):
    """The PNG of a figure, for the report."""
    return report(
        figure.png,
        category=figure.section,
        subcategory="{model}" if "{model}" in figure.folder else None,
        labels=dict(figure.labels),
        caption=f"../report/{figure.caption}.rst",
    )


def page_in_report(name: str, section: str, shows: str, of: str = "{model}"):
    """A page of the job's model, or of all models together, for the report."""
    how = {"category": section, "subcategory": of, "labels": {"figure": shows, "prompt": ""}}
    return report(f"results/{of}/{name}.html", caption=f"../report/{name}.rst", **how)
