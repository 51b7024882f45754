"""The page of findings in Markdown: tables of numbers as they are in the results, and nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import xarray as xr
from jinja2 import Environment, PackageLoader, StrictUndefined

from strata.findings.answers import Answer
from strata.findings.estimates import Estimate, interval, number, p_value
from strata.findings.traces import transition
from strata.io import made_by
from strata.names import CATEGORY, DEPTH, DOCUMENT, NOISE, TOKEN


def describe_model(
    prompts: pd.DataFrame, text: xr.Dataset, averages: xr.Dataset, order: Sequence[str]
) -> dict[str, Any]:
    """What a model's results were made from, for the page's first table.

    Parameters
    ----------
    prompts : of prompts.tsv
    text : of text/text.nc
    averages : of trace/by_category.nc
    order : categories whose accepted prompts are counted one by one
    """
    made, text_made = made_by(averages), made_by(text)
    accepted = prompts[prompts["accepted"].astype(str) == "True"]
    counts = accepted[CATEGORY].value_counts()
    return {
        "source": made["model"].get("file") or made["model"]["source"],
        "dtype": made["model"]["dtype"],
        "strata": made["strata"],
        "layers": averages.sizes[DEPTH],
        "text": text_made["config"]["source"],
        "documents": len(set(text[DOCUMENT].values.tolist())),
        "tokens": text.sizes[TOKEN],
        "accepted": len(accepted),
        "prompts": len(prompts),
        "by_category": {category: int(counts.get(category, 0)) for category in order},
    }


def transitions_of(
    averages: Mapping[str, xr.Dataset], noise: str, order: Sequence[str]
) -> dict[str, dict[str, Estimate]]:
    """Transition depth by category and model, in depths; categories of ``order`` first, then all others."""
    there = [str(category) for data in averages.values() for category in data[CATEGORY].values]
    categories = [*(c for c in order if c in there), *sorted(set(there) - set(order))]
    return {c: {name: transition(data, noise, c) for name, data in averages.items()} for c in categories}


def noise_of(averages: xr.Dataset, noise: str) -> float | None:
    """The standard deviation of a noise level on this model, embedding units; None without such a level."""
    if noise not in averages[NOISE].values:
        return None
    return float(averages["noise_sd"].sel({NOISE: noise}))


def write_page(
    sections: Mapping[str, Mapping],
    answers: Mapping[str, Sequence[Answer]],
    models: Mapping[str, Mapping],
    transitions: Mapping[str, Mapping[str, Estimate]],
    noise: str,
    figures: Mapping[str, str],
) -> str:
    """The page.

    Parameters
    ----------
    sections : name to ``title``, ``source`` and ``caption``
    answers : of each section
    models : name to `describe_model`
    transitions : of `transitions_of`
    noise : level of the traces
    figures : name of a section to its picture's path, from the page
    """
    templates = Environment(
        loader=PackageLoader(__package__, ""), trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    templates.filters |= {"number": number, "interval": interval, "p": p_value}
    return templates.get_template("findings.md.j2").render(
        sections=sections,
        answers=answers,
        models=models,
        transitions=transitions,
        noise=noise,
        figures=figures,
    )
