"""The scorecard of one model: what was claimed of models like it, and what its own results say."""

from collections.abc import Mapping, Sequence
from html import escape
from os.path import relpath
from pathlib import PurePath
from urllib.parse import quote

import pandas as pd

from strata.findings.answers import Answer
from strata.findings.estimates import FAILS, HOLDS, NOT_ASKED, OF_MANY, UNDECIDED, interval, number
from strata.pages import table_page

COLOURS = {HOLDS: "#a8d5c2", FAILS: "#f2b89b", UNDECIDED: "#e4e2d8", NOT_ASKED: "#ffffff"}
"""Of the verdicts, on the page and in the figure, in the order in which they are counted."""

NAMES_ONLY = """
if (!location.pathname.endsWith("/claims.html"))
  for (const link of document.querySelectorAll("a")) link.replaceWith(...link.childNodes);
"""
"""In a report, which holds the page but not the files at their places, links are names."""


def scorecard(
    table: Mapping[str, Mapping], answers: Mapping[str, Sequence[Answer]], model: str
) -> pd.DataFrame:
    """A row for each claim, in the order of the table.

    Columns: ``section``, ``claim`` (its name), ``short``, ``says``, ``source``, ``statistic`` in words;
    ``value``, ``low``, ``high``, ``n`` and ``p``, NaN where there is none; ``chance``, where the claim is
    held against it; ``holds_if``, ``verdict``, and ``reason`` where it cannot be asked or what it speaks of
    is not there; ``figure`` and ``data``, the files that show it (several joined by "; "), where it can be
    asked.

    Parameters
    ----------
    table : sections with ``title`` and ``source``
    answers : of each section, `strata.findings.answers.answers_of`
    """
    rows = []
    for key, section in table.items():
        for answer in answers[key]:
            found = answer.estimates[model]
            figure, *data = answer.evidence.get(model, [""])
            rows.append(
                {
                    "section": section["title"],
                    "claim": answer.name,
                    "short": answer.short,
                    "says": answer.says,
                    "source": answer.source or section["source"],
                    "statistic": answer.measure,
                    **{name: getattr(found, name) for name in ("value", "low", "high", "n", "p", "chance")},
                    "holds_if": answer.rule,
                    "verdict": answer.verdicts[model],
                    "reason": found.missing or found.refuted,
                    "figure": figure,
                    "data": "; ".join(data),
                }
            )
    return pd.DataFrame(rows)


def as_page(table: Mapping[str, Mapping], answers: Mapping[str, Sequence[Answer]], model: str) -> str:
    """The same to be read, as HTML: how many claims hold, then each with its number."""
    claims = scorecard(table, answers, model)
    asked = [answer for section in answers.values() for answer in section]
    estimates = [answer.estimates[model] for answer in asked]
    shown = pd.DataFrame(
        {
            "": claims["section"].where(~claims["section"].duplicated(), ""),
            "claim": claims["says"],
            "verdict": claims["verdict"],
            "value": [number(found.value) if not found.missing else "–" for found in estimates],
            "interval": ["–" if found.missing or found.refuted else interval(found) for found in estimates],
            "holds if": claims["holds_if"],
            "what is measured": claims["statistic"].str.replace("`", "")
            + claims["reason"].map(lambda why: f" ({why})" if why else ""),
            "evidence": [_links(answer.evidence.get(model, ()), model) for answer in asked],
        }
    )
    counts = claims["verdict"].value_counts()
    said = ", ".join(f"{counts.get(verdict, 0)} {words}" for verdict, words in OF_MANY.items())
    page = table_page(
        shown.style.format(escape="html", subset=shown.columns.drop("evidence"))
        .set_caption(f"{escape(model)}: of {len(claims)} claims {said}")
        .map(lambda verdict: f"background: {COLOURS[verdict]}", subset=["verdict"])
        .set_table_styles(
            [
                {"selector": "caption", "props": "text-align: left; font-size: 18px; padding: 8px 0"},
                {"selector": "th, td", "props": "vertical-align: top"},
            ]
        )
    )
    return page.replace("</body>", f"<script>{NAMES_ONLY}</script>\n</body>")


def _links(files: Sequence[str], model: str) -> str:
    """Links to files, from the page's own place in the model's results."""
    places = [quote(relpath(file, f"results/{model}")) for file in files]
    names = [escape(PurePath(file).stem) for file in files]
    return "<br>".join(f'<a href="{at}">{name}</a>' for at, name in zip(places, names, strict=True))
