"""What `mkdocs build` does for the site: equations become MathML, and what lies outside docs/ is brought in.

Pages are written for a git host as well: links to files of the repository are relative, and equations stand
between dollars. No script of another host draws them.
"""

import posixpath
import re
from html import unescape
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "data/models/organism/README.md": "organism.md",
    "data/models/organism-every-depth/README.md": "organism-every-depth.md",
}
"""Pages from outside docs/, and what they are called on the site."""

LINK = re.compile(r"(?<=\]\()[^)#\s]+")
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of docs/, and the pages from outside it."""
    for source, name in PAGES.items():
        files.append(_brought(source, name, config))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page whose links lead where their targets are on the site; other files are brought as they are."""
    sources = {name: source for source, name in PAGES.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def on_site(link: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[0]))
        if target in PAGES or target.startswith("docs/"):
            return PAGES.get(target, target.removeprefix("docs/"))
        # A page that PAGES lacks is no page of the site: what mkdocs finds wrong with the link, it says.
        if not (ROOT / target).is_file() or target.endswith(".md"):
            return link[0]
        if files.get_file_from_path(target) is None:
            files.append(_brought(target, target, config))
        return target

    return LINK.sub(on_site, markdown)


def on_page_content(html: str, **_) -> str:
    """A page with its equations as MathML, which browsers draw by themselves."""
    return EQUATION.sub(_as_mathml, html)


def _brought(source: str, name: str, config: MkDocsConfig) -> File:
    return File.generated(config, name, abs_src_path=str(ROOT / source))


def _as_mathml(equation: re.Match) -> str:
    tag, tex = equation[1], unescape(equation[2])
    mathml = convert(tex, display="block" if tag == "div" else "inline")
    return f'<{tag} class="equation">{mathml}</{tag}>'
