"""The report in a real browser: every section, figure and page of it, wide and on a phone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

SHOWN = """() => [...document.querySelectorAll('img, iframe')].filter(each => !each.closest('nav'))
    .map(each => [decodeURIComponent(each.src.match(/filename=([^;]*)/)?.[1] ?? ''),
                  each.tagName == 'IFRAME' || each.naturalWidth > 40 && each.complete])"""
"""What the page shows beside its menu: names of files, and whether they were loaded."""

BROKEN = """() => [...document.querySelectorAll('a[href^="#"]')].map(a => a.getAttribute('href').slice(1))
    .filter(id => id && !document.getElementById(id))"""


@pytest.fixture
def opened(project, browser) -> Iterator:
    """Open the report; at the end nothing may have been thrown, or asked for from elsewhere."""
    done = project.snakemake("--report", "results/report.html")
    assert done.returncode == 0, done.stderr
    report, contexts, noise = (project.folder / "results/report.html").as_uri(), [], []

    def opened(**settings) -> Page:
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda said: noise.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith(("data:", report)) or noise.append(asked.url))
        page.goto(report)
        page.locator("#what-was-run").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert noise == []


def choose(page: Page, *path: str) -> None:
    """Go home, and from there through the menu."""
    page.locator("nav nav a").first.click()
    for name in path:
        page.locator("nav a").get_by_text(name, exact=True).click()


def entries(page: Page) -> list[str]:
    """Names in the menu, without the way here."""
    return [name for name in page.locator("nav li > a").all_inner_texts() if name]


def seen_in(page: Page) -> list[str]:
    """Every figure and page of the menu's place, opened one by one, with its caption."""
    found, eyes = [], page.locator("a[iconname=eye]")
    eyes.first.wait_for()
    for index in range(eyes.count()):
        eyes.nth(index).click()
        page.wait_for_function(f"() => ({SHOWN})().length == 1 && ({SHOWN})()[0][1]")
        ((name, _),) = page.evaluate(SHOWN)
        found.append(name)
        assert page.evaluate(BROKEN) == []
    return found


@pytest.mark.long
def test_every_figure_and_page_of_the_report_opens(project, opened):
    page = opened(viewport={"width": 1300, "height": 900})
    assert all(loaded for _, loaded in page.evaluate(SHOWN)) and page.evaluate(BROKEN) == []
    links = page.locator("a[href$='.html']").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert len(links) == 2 and all((project.folder / "results" / link).exists() for link in links)
    sections = [name for name in entries(page) if name[0].isdigit()]
    assert len(sections) >= 5
    found = []
    for section in sections:
        choose(page, section)
        page.locator("a[iconname=eye], nav li:has-text('Results')").first.wait_for()
        if page.locator("a[iconname=eye]").count():
            found += seen_in(page)
            continue
        for part in entries(page)[entries(page).index(section) + 1 :]:
            choose(page, section, part)
            found += seen_in(page)
    reported = {path.name for path in (project.folder / "results").glob("*/figures/*.png")}
    assert reported <= set(found) and {"claims.html", "run.html"} <= set(found)


@pytest.mark.long
def test_the_first_page_can_be_read_on_a_phone(opened):
    page = opened(viewport={"width": 390, "height": 800})
    text = page.locator("#what-was-run")
    box = text.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["width"] > 300
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    menu = page.locator("nav").first.bounding_box()
    assert menu["height"] <= 0.4 * 800, "the menu leaves room for the text"
