"""Texts that are markup, templates or a terminal's escapes are shown as what they are."""

import logging
import re
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree

import pandas as pd
import pytest
from docutils.core import publish_doctree
from docutils.nodes import image, raw, reference
from jinja2 import Template

from oracles.lens_example import make_lens
from pipeline.job import in_words, job
from pipeline.session import failure
from strata.figures.lens import draw_grid
from strata.figures.saving import save_figure
from strata.findings.estimates import NOT_ASKED
from strata.findings.front import front_page
from strata.findings.run_page import run_page
from strata.inputs import BadInput, in_one_line
from strata.organism.evaluation import as_page

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</pre><svg/onload=alert(1)>",
    "]]>",
    "<!--",
    "&lt;b&gt;",
    '" onmouseover="alert(1)',
    "'; alert(1) //",
    "\x1b[31mred\x1b[2J",
    "\x9b31m",
    "\x1b]0;title\x07",
    "\b\b\b\0",
    "one\rtwo",
    "one\ntwo",
    "\u202egnp.exe",
    "\u2066\u200f\u2028",
    "{{ 7 * 6 }}{% raw %}",
    "{0.__class__}",
    "`x <javascript:alert(1)>`__",
    "|x|_ ``x`` *x* **x**",
    ".. raw:: html",
    "$\\frac{1}{2}$",
    "%(message)s %s",
]


class Tags(HTMLParser):
    """The names of a page's elements and of their attributes, and its text."""

    def __init__(self, page: str):
        super().__init__()
        self.names, self.text = set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.names |= {tag, *(name for name, _ in attributes)}

    def handle_data(self, data):
        self.text += data


def harmless(page: str, allowed: set[str]) -> Tags:
    """The page has the elements it should have, and nothing that does not print."""
    assert page.replace("\n", "").isprintable()
    tags = Tags(page)
    assert tags.names <= allowed
    return tags


PAGE = {"html", "head", "meta", "title", "style", "body", "section", "h1", "h2", "table", "thead", "tbody"}
PAGE |= {
    "tr",
    "td",
    "th",
    "pre",
    "lang",
    "charset",
    "name",
    "content",
    "border",
    "class",
    "id",
    "type",
}


def prompts(text: str) -> pd.DataFrame:
    columns = dict.fromkeys(["id", "category", "text", "target", "top_str", "reason"], [text, "x"])
    return pd.DataFrame(columns | {"accepted": [False, True]})


@pytest.mark.parametrize("text", HOSTILE)
def test_the_page_of_the_run(text):
    config = {"models": {"one": {"source": text}}, "prompts": {"prefix_first": text}}
    page = run_page({"one": prompts(text)}, {"torch": text}, config)
    tags = harmless(page, PAGE)
    assert tags.text.count(in_one_line(text)) >= 5, "it is there to be read"


@pytest.mark.parametrize("text", HOSTILE)
def test_the_first_page(text):
    claims = pd.DataFrame(
        [("First", "up", text, NOT_ASKED, 0.5, 0.4, 0.6), ("First", "down", "x", "holds", 0.5, 0.4, 0.6)],
        columns=["section", "claim", "short", "verdict", "value", "low", "high"],
    )
    models = {"one": {"source": text, "dtype": "float32", "text": text}}
    page = front_page({"a": {"title": "First"}}, {"one": claims}, {"one": prompts("x")}, models, {})
    rendered = Template(page).render()
    assert rendered.rstrip() == page.rstrip(), "nothing in it is filled in"
    tree = publish_doctree(rendered, settings_overrides={"halt_level": 2, "report_level": 2})
    assert in_one_line(text) in tree.astext().replace("\\ ", "")
    links = [link.get("refuri") for link in tree.findall(reference)]
    assert links == ["one/lens/explorer.html"] and not list(tree.findall(image))
    assert len(list(tree.findall(raw))) == 1, "the page's own style"


@pytest.mark.parametrize("text", HOSTILE)
def test_the_evaluation(text):
    row = {"task": text, "group": text, "n": 1, "value": 0.5, "unit": "top-1", "goal": 0.9, "reached": False}
    page = as_page(pd.DataFrame([row]))
    assert Tags(page).names <= PAGE and page == as_page(pd.DataFrame([row]))


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_job_says(text, tmp_path, monkeypatch):
    """On the terminal one line; in its log all of it, and nothing that a terminal would obey."""
    monkeypatch.setattr(logging.root, "handlers", [])  # jobs put theirs in the place of all
    log = tmp_path / "rule.log"
    snakemake = SimpleNamespace(log=[str(log)], input=[], resources={}, threads=1, rule="rule")
    with pytest.raises(SystemExit) as ended, job(snakemake):
        print("seen:", text)
        raise ValueError(f"prompt {text}")
    said = str(ended.value)
    assert said.isprintable() and said.startswith("rule: ValueError: prompt ")
    written = log.read_text(encoding="utf-8")
    assert re.sub(r"[\n\t\r]", "", written).isprintable() and "Traceback" in written
    shown = in_one_line(text.replace("\n", " "))
    assert shown.replace("\\r", "\n") in written.replace("\r", "\n") or "\r" in text or "\n" in text
    log.write_text(f"Traceback\n{text}", encoding="utf-8")  # as another program might have left it
    assert failure("rule", str(log)).isprintable()
    assert in_words(OSError(text)).isprintable() and str(BadInput(text)).isprintable()


def test_a_figure_of_such_tokens(tmp_path):
    """Vocabularies have them; the drawing is well-formed, and its letters are shapes."""
    lens = make_lens(n_tokens=len(HOSTILE))
    for name in ("token_str", "target_str"):
        lens[name] = ("token", HOSTILE)
    lens["top_str"].values[:] = HOSTILE[0]
    figure = draw_grid(lens, prompt=str(lens["prompt"].values[0]), colouring="logit", window=[0, 30])
    drawing = tmp_path / "x.svg"
    save_figure(figure, tmp_path / "x.png", drawing)
    names = {element.tag.rpartition("}")[2] for element in ElementTree.parse(drawing).iter()}
    assert not names & {"script", "text", "foreignObject", "a"} and "path" in names
