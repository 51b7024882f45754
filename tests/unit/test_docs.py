"""What the documents say is so: links lead somewhere, names exist, captions can be read."""

import ast
import re
from pathlib import Path

import pytest
from docutils.core import publish_doctree
from docutils.nodes import system_message

from oracles.documented import undocumented
from strata import names

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CAPTIONS = sorted((ROOT / "workflow/report").glob("*.rst"))
UNPLAIN = re.compile(
    r"\b(crowds?|beside|anew|stands? on|hangs? on|calls? for itself|cannot avoid|is said to hold)\b"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert link.startswith("http") or (page.parent / link).exists(), link


def test_references_are_of_modules_that_there_are():
    text = (ROOT / "docs/references.md").read_text()
    library = ROOT / "workflow/scripts/strata"
    for used in re.findall(r"`(\w+/(?:\w+\.py)?)`", text):
        assert (library / used).exists(), used


def test_works_that_the_library_cites_are_among_the_references():
    text = (ROOT / "docs/references.md").read_text()
    cited = re.compile(
        r"\b([A-Z][a-z]+(?:[A-Z][a-z]+)?)(?: et al\.| and [A-Z]\w+| & [A-Z]\w+)?,? \(?((?:19|20)\d\d)\b"
    )
    for module in (ROOT / "workflow/scripts/strata").rglob("*.py"):
        for author, year in cited.findall(module.read_text()):
            line = rf"{author}.*\(?{year}|{year}.*{author}"
            assert re.search(line, text), f"{module.name}: {author} {year}"


def test_the_glossary_has_every_shared_dimension():
    text = (ROOT / "docs/glossary.md").read_text()
    shared = {value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)}
    assert len(shared) > 20
    assert sorted(value for value in shared if f"`{value}`" not in text) == []


@pytest.mark.parametrize("caption", CAPTIONS, ids=lambda caption: caption.stem)
def test_captions_are_plain(caption):
    text = caption.read_text()
    wrong = publish_doctree(text, settings_overrides={"report_level": 5}).findall(system_message)
    assert [message.astext() for message in wrong] == []
    assert UNPLAIN.findall(text) == []
    assert len(text.split()) >= 10


@pytest.mark.parametrize("page", [*PAGES, ROOT / "config.yaml"], ids=lambda page: page.name)
def test_what_users_read_is_plain(page):
    assert UNPLAIN.findall(page.read_text()) == []


def test_messages_that_are_explained_are_those_of_the_code():
    """What is between the places that differ (…) stands so in a string of the code."""
    page = (ROOT / "docs/troubleshooting.md").read_text()
    blocks = re.findall(r"^```text\n(.*?)^```$", page, re.M | re.S)
    reasons = re.findall(r"^\| `([^`]+)` \|", page, re.M)
    modules = [ast.parse(path.read_text()) for path in (ROOT / "workflow/scripts").rglob("*.py")]
    strings = [n.value for m in modules for n in ast.walk(m) if isinstance(n, ast.Constant)]
    strings = [string for string in strings if isinstance(string, str)]
    lines = [*reasons, *(line for block in blocks for line in block.splitlines())]
    assert len(blocks) > 20 and len(reasons) > 4
    for line in lines:
        for part in line.split("…"):
            assert any(part.strip() in string for string in strings), line


def test_a_variable_or_file_that_is_not_documented_is_found(tmp_path):
    (tmp_path / "table.tsv").write_text("x\tx_low\ty\n")
    assert undocumented(tmp_path, "`table.tsv` has `x`") == ["table.tsv: y"]
    assert undocumented(tmp_path, "`x`, `y`") == ["table.tsv"]
