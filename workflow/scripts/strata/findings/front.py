"""The first page of the report: what was run, and what holds, in reStructuredText."""

import re
from collections.abc import Mapping
from textwrap import wrap

import pandas as pd

from strata.findings.estimates import NOT_ASKED, OF_MANY, number
from strata.inputs import in_one_line
from strata.names import CATEGORY

STYLE = """
.. raw:: html

   <style>
   .prose:has(#what-was-run) { max-width: none }
   .items-center:has(#what-was-run) { align-items: flex-start }
   #what-was-run ~ * table { width: auto; display: block; overflow-x: auto }
   #what-was-run ~ * img { max-width: min(100%, 900px); background: white }
   #what-was-run ~ * td, #what-was-run ~ * th { padding: 2px 20px 2px 0; vertical-align: top }
   @media (max-width: 640px) {
     .flex-row:has(#what-was-run) { flex-direction: column }
     .flex-row:has(#what-was-run) > nav { width: 100%; height: auto; max-height: 35vh; flex-shrink: 0 }
   }
   #what-was-run ~ * td > *, #what-was-run ~ * th > *, #what-was-run ~ * li > * { margin: 0 }
   </style>
"""
"""Reports keep texts as wide as captions and in the middle of the screen, where long ones lose their top;
on a phone their menu takes most of the width."""


def front_page(
    sections: Mapping[str, Mapping],
    claims: Mapping[str, pd.DataFrame],
    prompts: Mapping[str, pd.DataFrame],
    models: Mapping[str, Mapping],
    leads: Mapping[str, str],
) -> str:
    """What was run, then each investigation: a sentence for each model, its figure, and its claims.

    Parameters
    ----------
    sections : of the table of findings, with ``title`` and perhaps ``lead``
    claims : name of a model to its claims.tsv
    prompts : name of a model to its prompts.tsv
    models : their sections of the configuration
    leads : sections' keys to addresses of their figures, where they have any
    """
    first = next(iter(claims.values()))
    told = [f"{len(first)} claims of posts, their readers and papers, asked of what was run."]
    told += [_described(name, models[name], prompts[name], table) for name, table in claims.items()]
    parts = [STYLE, _heading("What was run"), *told]
    for key, section in sections.items():
        of_section = {name: table[table["section"] == section["title"]] for name, table in claims.items()}
        said = [_lead(section.get("lead", ""), name, table) for name, table in of_section.items()]
        matrix = _matrix(of_section) or "Asked of none of these models."
        parts += [_heading(section["title"]), "\n".join(filter(None, said))]
        if key in leads and any((table["verdict"] != NOT_ASKED).any() for table in of_section.values()):
            parts.append(_figure(leads[key], section["caption"]))
        parts.append(matrix)
    return "\n\n".join(parts) + "\n"


def _heading(title: str) -> str:
    return f"{title}\n{'=' * len(title)}"


def _described(name: str, model: Mapping, prompts: pd.DataFrame, claims: pd.DataFrame) -> str:
    accepted = prompts[prompts["accepted"]]
    counts = accepted[CATEGORY].value_counts()
    by_category = ", ".join(f"{count} {category.replace('_', ' ')}" for category, count in counts.items())
    verdicts = claims["verdict"].value_counts()
    said = ", ".join(f"{verdicts.get(verdict, 0)} {words}" for verdict, words in OF_MANY.items())
    text = f" Decoders and probes are fitted to {_plain(model['text'])}." if "text" in model else ""
    return (
        f"**{_plain(name)}** ({_plain(model['source'])}, {model['dtype']}): of {len(prompts)} prompts and "
        f"passages {len(accepted)} are accepted ({by_category}).{text} Of the claims {said}. "
        f"Every prompt, depth by depth: `results/{name}/lens/explorer.html <{name}/lens/explorer.html>`__."
    )


def _lead(lead: str, model: str, claims: pd.DataFrame) -> str:
    """The section's sentence with the model's numbers; none where one of them is lacking."""
    wanted = claims[claims["claim"].isin(re.findall(r"{(\w+)}", lead))]
    if wanted.empty or wanted["value"].isna().any():
        return ""
    return (
        f"- **{_plain(model)}**: "
        + lead.format(**{row.claim: _value(row) for row in wanted.itertuples()})
        + "."
    )


def _figure(address: str, caption: str) -> str:
    lines = wrap(address, 1000)  # docutils refuses long ones, and joins these
    return (
        "\n   ".join([f".. figure:: {lines[0]}", *lines[1:], f":alt: {caption}"])
        + f"\n\n   {_plain(caption)}"
    )


def _matrix(claims: Mapping[str, pd.DataFrame]) -> str:
    """A row for each claim that one of the models could be asked, a column for each model."""
    tables = {name: table.set_index("claim") for name, table in claims.items()}
    first = next(iter(tables.values()))
    asked = [claim for claim in first.index if any(t["verdict"][claim] != NOT_ASKED for t in tables.values())]
    if not asked:
        return ""
    rows = [["claim", *map(_plain, tables)]]
    for claim in asked:
        cells = (
            table["verdict"][claim]
            + (f": {_value(table.loc[claim])}" if table["value"].notna()[claim] else "")
            for table in tables.values()
        )
        rows.append([_plain(first["short"][claim]), *cells])
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row)]
    return "\n".join(lines)


def _value(claim: pd.Series) -> str:
    if pd.isna(claim.low) or claim.low == claim.high:  # none, or exact
        return number(claim.value)
    return f"{number(claim.value)} [{number(claim.low)}, {number(claim.high)}]"


def _plain(text: str) -> str:
    """Text in which nothing is markup, nor a template's: Snakemake fills in what it reads."""
    return re.sub(r"([\\*`|_:<{}%#])", r"\\\1", in_one_line(text))
