"""How a run was made: prompts accepted and rejected by each model, versions, configuration."""

from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd
import yaml

from strata.inputs import in_one_line
from strata.names import CATEGORY
from strata.pages import page_of, table_of

REJECTED = {
    "id": "id",
    CATEGORY: "category",
    "text": "text",
    "target": "expected",
    "top_str": "the model's guess",
    "reason": "why it is left out",
}


def run_page(
    prompts: Mapping[str, pd.DataFrame], versions: Mapping[str, str], config: Mapping[str, Any]
) -> str:
    """A page of its own, as HTML.

    Parameters
    ----------
    prompts : name of a model to its prompts.tsv
    versions : of packages, by name
    config : all of the configuration
    """
    parts = {"Prompts accepted, by category and model": table_of(_accepted(prompts))}
    for model, table in prompts.items():
        rejected = table.loc[~table["accepted"], list(REJECTED)].rename(columns=REJECTED)
        rejected = rejected.replace("^[Ġ▁]", " ", regex=True)  # as tokenizers write a space
        parts[f"{model}: {len(rejected)} prompts that it rejects"] = table_of(rejected)
    parts["Versions"] = table_of(pd.DataFrame(versions.items(), columns=["package", "version"]))
    written = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=110)
    shown = "\n".join(map(in_one_line, written.split("\n")))
    parts["Configuration"] = f"<pre>{escape(shown)}</pre>"
    return page_of("How it was run", parts)


def _accepted(prompts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row for each category, a column for each model: how many of how many."""
    counts = {
        model: table.groupby(CATEGORY, sort=False)["accepted"].agg(
            lambda each: f"{each.sum()} of {len(each)}"
        )
        for model, table in prompts.items()
    }
    order = list(dict.fromkeys(category for table in prompts.values() for category in table[CATEGORY]))
    return pd.DataFrame(counts).loc[order].fillna("–").rename_axis(CATEGORY).reset_index()
