"""The first page of the report."""

import re
from html import unescape
from math import nan
from pathlib import Path

import pandas as pd
import pytest
from docutils.core import publish_doctree
from docutils.nodes import document, figure, reference

from strata.findings.estimates import FAILS, HOLDS, NOT_ASKED, UNDECIDED
from strata.findings.front import front_page
from strata.findings.run_page import run_page
from strata.findings.table import read_findings
from strata.inputs import read_yaml

ROOT = Path(__file__).parents[2]
SECTIONS = {
    "one": {"title": "First question", "lead": "a goes {up} and {sideways}", "caption": "What goes *up*."},
    "two": {"title": "Second question"},
    "three": {"title": "Third question", "caption": "Nothing."},
}
MODELS = {
    "a_b": {"source": "data/a_b", "dtype": "float32", "text": "data/*.txt"},
    "other": {"source": "them/other", "dtype": "float16"},
}
COLUMNS = ["section", "claim", "short", "verdict", "value", "low", "high"]
CLAIMS = {
    "a_b": [
        ("First question", "up", "goes *up*", HOLDS, 0.5, 0.4, 0.6),
        ("First question", "sideways", "goes sideways", UNDECIDED, -1.25, nan, nan),
        ("Second question", "exact", "is exact", FAILS, 0.1, 0.1, 0.1),
        ("Third question", "lost", "is lost", NOT_ASKED, nan, nan, nan),
    ],
    "other": [
        ("First question", "up", "goes *up*", NOT_ASKED, nan, nan, nan),
        ("First question", "sideways", "goes sideways", NOT_ASKED, nan, nan, nan),
        ("Second question", "exact", "is exact", FAILS, nan, nan, nan),
        ("Third question", "lost", "is lost", NOT_ASKED, nan, nan, nan),
    ],
}
ADDRESS = "data:image/png;base64," + "iVBORw0KGgo" * 3000  # docutils reads no line of so many letters
PROMPTS = pd.DataFrame(
    {"category": ["semantic", "plain_english", "semantic"], "accepted": [True, True, False]}
)


@pytest.fixture
def page():
    claims = {name: pd.DataFrame(rows, columns=COLUMNS) for name, rows in CLAIMS.items()}
    leads = {"one": ADDRESS, "three": ADDRESS, "verdicts": ADDRESS}
    return front_page(SECTIONS, claims, dict.fromkeys(MODELS, PROMPTS), MODELS, leads)


def tree_of(rst: str) -> document:
    """As Snakemake reads it; a mistake in its markup is an error."""
    return publish_doctree(rst, settings_overrides={"halt_level": 2, "report_level": 2})


def sections_of(rst: str) -> dict[str, str]:
    """What stands under each heading."""
    found = [node for node in tree_of(rst) if node.tagname == "section"]
    return {node[0].astext(): "\n\n".join(child.astext() for child in node[1:]) for node in found}


def test_it_says_what_was_run(page):
    assert list(sections_of(page)) == ["What was run", "First question", "Second question", "Third question"]
    said = sections_of(page)["What was run"]
    assert said.startswith("4 claims of posts")
    assert (
        "a_b (data/a_b, float32): of 3 prompts and passages 2 are accepted (1 semantic, 1 plain english). "
        "Decoders and probes are fitted to data/*.txt. "
        "Of the claims 1 hold, 1 do not hold, 1 are undecided, 1 cannot be asked. "
        "Every prompt, depth by depth: results/a_b/lens/explorer.html." in said
    )
    assert "other (them/other, float16)" in said and said.count("fitted to") == 1
    links = [link["refuri"] for link in tree_of(page).findall(reference)]
    assert links == ["a_b/lens/explorer.html", "other/lens/explorer.html"], "from where the report is"


def test_investigations_have_a_sentence_and_a_table(page):
    sections = sections_of(page)
    said = sections["First question"]
    assert said.startswith("a_b: a goes 0.500 [0.400, 0.600] and −1.250.")  # the other lacks the numbers
    cells = re.sub(r"\s*\n+\s*", " | ", said).split(" | ")[1:]
    assert cells == [
        *["What goes *up*."] * 2,  # the figure in words, and its caption
        *("claim", "a_b", "other"),
        *("goes *up*", "holds: 0.500 [0.400, 0.600]", NOT_ASKED),
        *("goes sideways", "undecided: −1.250", NOT_ASKED),
    ]
    assert sections["Second question"].endswith("is exact\n\ndoes not hold: 0.100\n\ndoes not hold")
    assert sections["Third question"] == "Asked of none of these models."


def test_an_investigation_that_was_asked_is_led_by_its_figure(page):
    [shown] = tree_of(page).findall(figure)
    picture, caption = shown.children
    assert (picture["uri"], picture["alt"]) == (ADDRESS, "What goes *up*.")
    assert caption.astext() == "What goes *up*." and shown.parent["names"] == ["first question"]


def test_the_run_is_told_in_full():
    prompts = PROMPTS.assign(
        id=["a", "b", "<c>"], text="The sky is", target=" blue", top_str="Ġgrey", reason=""
    )
    page = run_page({"one": prompts, "two": prompts.iloc[:1]}, {"torch": "2.0"}, {"trace": {"samples": 2}})
    tables = [
        [re.findall("<t[dh]>(.*?)</t[dh]>", row) for row in re.findall("(?s)<tr.*?</tr>", table)]
        for table in re.findall("(?s)<table.*?</table>", page)
    ]
    accepted, rejected, none, versions = ([[*map(unescape, row)] for row in table[1:]] for table in tables)
    assert accepted == [["semantic", "1 of 2", "1 of 1"], ["plain_english", "1 of 1", "–"]]
    assert rejected == [["<c>", "semantic", "The sky is", "blue", "grey", ""]] and none == []
    assert versions == [["torch", "2.0"]]
    assert "trace:\n  samples: 2" in page


def test_every_lead_names_findings_of_its_section():
    table = read_findings(ROOT / "workflow", read_yaml(ROOT / "config.yaml"))
    named = {key: set(re.findall(r"{(\w+)}", section.get("lead", ""))) for key, section in table.items()}
    assert sum(map(bool, named.values())) >= 4
    for key, names in named.items():
        assert names <= set(table[key]["findings"]), key
