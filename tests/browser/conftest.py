"""Pages in a real browser."""

import pytest
from playwright.sync_api import Page


@pytest.fixture
def open_page(browser, tmp_path):
    """Open HTML from a file. At the end of the test nothing may have been said, thrown or asked for."""
    contexts, noise = [], []

    def open_page(html: str, fragment: str = "", **settings) -> Page:
        file = tmp_path / f"page{len(contexts)}.html"
        file.write_text(html, encoding="utf-8")
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(15_000)  # for busy machines: what is waited for comes, late
        page.on("console", lambda message: noise.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: noise.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (noise.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        own = file.as_uri()
        page.on(
            "request",
            lambda request: request.url.split("#")[0] == own or noise.append(f"request: {request.url}"),
        )
        page.goto(own + fragment)
        page.locator("#page").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert noise == []
