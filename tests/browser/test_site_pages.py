"""The documentation's site in a real browser: what it asks for, its equations, a narrow screen."""

NARROW = {"width": 400, "height": 900}


def test_pages_ask_for_files_of_their_own_alone_and_fit_a_narrow_screen(browser, site):
    context = browser.new_context(viewport=NARROW)
    page, asked, wide = context.new_page(), set(), {}
    page.on("request", lambda request: asked.add(request.url))
    for file in sorted(site.glob("*.html")):
        if file.name != "404.html":  # whose links are from a server's root
            page.goto(file.as_uri())
            width = page.evaluate("document.documentElement.scrollWidth")
            if width > NARROW["width"]:
                wide[file.name] = width
    context.close()
    assert wide == {}
    assert len(asked) > 20 and all(url.startswith((site.as_uri(), "data:")) for url in asked), asked


def test_equations_are_drawn(browser, site):
    page = browser.new_page()
    page.goto((site / "traces.html").as_uri())
    sizes = page.locator("math").evaluate_all("all => all.map(e => e.getBoundingClientRect().height)")
    page.close()
    assert len(sizes) > 20 and min(sizes) > 5
