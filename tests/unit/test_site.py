"""The documentation as a site: built without a warning, its links lead somewhere, no other host is asked."""

import re
import shutil

import pytest

from oracles.site import ROOT, Read, build, elsewhere, leading_nowhere


def test_every_page_is_there(site):
    pages = {page.name for page in site.glob("*.html")}
    written = {page.with_suffix(".html").name for page in (ROOT / "docs").glob("*.md")}
    assert written | {"contributing.html", "organism.html"} <= pages


def test_links_and_anchors_lead_somewhere(site):
    assert list(leading_nowhere(site)) == []


def test_nothing_is_asked_of_another_host(site):
    assert list(elsewhere(site)) == []


def test_equations_are_mathml(site):
    """And none is left as it was written."""
    for name, least in (("lens", 20), ("traces", 20), ("embedding", 15)):
        page = site / f"{name}.html"
        assert Read.page(page).equations >= least
        assert "arithmatex" not in page.read_text() and "$" not in page.read_text().partition("<article")[2]


def test_lists_are_lists(site):
    """The site's Markdown needs an empty line before a list, where a git host's needs none."""
    for page in site.glob("*.html"):
        article = re.sub(r"<pre>.*?</pre>", "", page.read_text().partition("<article")[2], flags=re.DOTALL)
        assert re.findall(r"^(?:- |\d\. |\| ).*", article, re.M) == [], page.name


def test_scripts_that_write_pages_are_not_on_it(site):
    assert list(site.rglob("*.py")) == []


@pytest.mark.long
@pytest.mark.parametrize(
    "link, said",
    [
        ("[nowhere](nowhere.md)", "nowhere.md"),
        ("[nowhere](../nowhere.yaml)", "nowhere.yaml"),
        ("[nowhere](lens.md#nowhere)", "#nowhere"),
        ("[nowhere](../CONTRIBUTING.md#nowhere)", "#nowhere"),
    ],
)
def test_a_broken_link_ends_the_build(tmp_path, link, said):
    for name in ("docs", "workflow", "profiles"):
        ignored = shutil.ignore_patterns("scripts", "__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("mkdocs.yml", "config.yaml", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    for model in ("organism", "organism-every-depth"):
        card = f"data/models/{model}/README.md"
        (tmp_path / card).parent.mkdir(parents=True)
        shutil.copy(ROOT / card, tmp_path / card)
    with (tmp_path / "docs/glossary.md").open("a") as page:
        page.write(f"\n{link}\n")
    done = build(tmp_path / "site", source=tmp_path)
    assert done.returncode != 0
    assert "glossary.md" in done.stderr and said in done.stderr


def test_what_leads_nowhere_or_elsewhere_is_found(tmp_path):
    (tmp_path / "other.html").write_text('<p id="here">')
    (tmp_path / "page.html").write_text(
        '<a href="other.html#here">a</a> <a href="other.html#gone">b</a> <a href="gone.html">c</a>'
        '<a href="https://example.org/gone">d</a> <img src="//example.org/a.png"> <a href="#own">e</a>'
        '<link href="https://example.org/a.css"><i style="background: url(http://example.org/b.png)"></i>'
    )
    (tmp_path / "sheet.css").write_text('@import "https://example.org/c.css"; a { b: url(data:c) }')
    nowhere = {"page.html: other.html#gone", "page.html: gone.html", "page.html: #own"}
    assert set(leading_nowhere(tmp_path)) == nowhere
    hosts = {"//example.org/a.png", "https://example.org/a.css", "http://example.org/b.png"}
    assert set(elsewhere(tmp_path)) == {f"page.html: {host}" for host in hosts} | {
        "sheet.css: https://example.org/c.css"
    }
