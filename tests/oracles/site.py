"""The documentation's site: built as `make docs` does, and what its pages link to and ask for."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
ASKED = {"src", "srcset", "data", "poster"}
"""Attributes whose addresses a browser asks for by itself; of ``link`` ``href`` too."""

IN_CSS = re.compile(r"url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)")


def build(folder: Path, *, source: Path = ROOT) -> subprocess.CompletedProcess:
    """Build the site into a folder."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)


@dataclass
class Read(HTMLParser):
    """What is in a page: its anchors, where it leads, and what it asks for."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    equations: int = 0

    def __post_init__(self):
        super().__init__()

    @classmethod
    def page(cls, path: Path) -> "Read":
        """Of a file."""
        read = cls()
        read.feed(path.read_text(encoding="utf-8"))
        return read

    def handle_starttag(self, tag, attrs):
        self.equations += tag == "math"
        for name, value in attrs:
            if name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)
            elif name == "href" and tag in ("a", "area"):
                self.links.append(value)
            elif name in ASKED or (tag == "link" and name == "href"):
                self.asked.append(value)
            elif name == "style":
                self.asked += _in_css(value)


def elsewhere(site: Path) -> Iterator[str]:
    """What pages and style sheets ask of another host: ``file: address``."""
    asked = {page: Read.page(page).asked for page in site.rglob("*.html")}
    asked |= {sheet: _in_css(sheet.read_text(encoding="utf-8")) for sheet in site.rglob("*.css")}
    for file, addresses in asked.items():
        for address in addresses:
            if urlsplit(address).scheme not in ("", "data") or urlsplit(address).netloc:
                yield f"{file.relative_to(site)}: {address}"


def leading_nowhere(site: Path) -> Iterator[str]:
    """Links, and addresses of what is asked for, to files or anchors that there are not: ``page: link``."""
    pages = {page: Read.page(page) for page in site.rglob("*.html")}
    for page, read in pages.items():
        for link in read.links + read.asked:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            # Of the page for what is not found, links are from the site's root.
            start = site if parts.path.startswith("/") else page.parent
            target = (start / unquote(parts.path).lstrip("/")).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(parts.fragment)
            if not target.is_file() or (anchor and target in pages and anchor not in pages[target].anchors):
                yield f"{page.relative_to(site)}: {link}"


def _in_css(text: str) -> list[str]:
    return [one or other for one, other in IN_CSS.findall(text)]
