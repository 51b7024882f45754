"""The lens page in a real browser, against the datasets that it was made from."""

import re

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import LogNorm, Normalize, PowerNorm, to_hex, to_rgb

from oracles.lens_example import make_lens
from strata.figures.lens_page import build_page
from strata.figures.style import readable

N_TOKENS, N_LAYERS = 7, 3
LAST = 2 * N_LAYERS
WHOLE_DEPTHS = [6, 4, 2, 0]  # from the top of the page, as indices among depths and half-depths
ALL_DEPTHS = list(range(LAST, -1, -1))

# Nothing that a browser would take for markup or code, and nothing that cannot be seen.
HOSTILE = {
    "</script><script>alert(1)</script>": "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>": "<img·src=x·onerror=alert(1)>",
    "\"'><b>": "\"'><b>",
    "${alert(1)}": "${alert(1)}",
    "{{ 7 * 7 }}": "{{·7·*·7·}}",
    "\0": "\\x00",
    "\u2028": "\\u2028",
    "\u202eabc": "\\u202eabc",
    "<!--": "<!--",
    "&lt;": "&lt;",
    "Ċ": "↵",
    "ĠĠ": "··",
}


def make_lenses(seed=32, norm="whole", **kwargs):
    """Two decoders of one text; of the second, depths lie elsewhere on the way from first to last."""
    lens = make_lens(N_LAYERS, N_TOKENS, top_k=10, seed=seed, **kwargs)
    longer = make_lens(2 * N_LAYERS, N_TOKENS, top_k=10, seed=seed, **kwargs)
    bent = [0, 8, 9, 10, 10, 11, 12]
    tuned = longer.isel(depth=bent, guess=bent).assign_coords(depth=lens["depth"], guess=lens["guess"])
    return {"logit": lens.assign_attrs(norm=norm), "tuned": tuned.assign_attrs(norm=norm)}


def respell(lens, vocabulary):
    spelled = np.array(vocabulary, dtype=object)
    target = lens["target_id"].values
    return lens.assign(top_str=(lens["top_str"].dims, spelled[lens["top_id"].values])).assign_coords(
        token_str=("token", spelled[lens["token_id"].values]),
        target_str=("token", np.where(target < 0, "", spelled[target])),
    )


@pytest.fixture(scope="module")
def lenses():
    return make_lenses()


@pytest.fixture
def page(open_page, lenses):
    return open_page(build_page(lenses))


def cell(page, depth, token):
    """The cell at an index of depth."""
    return page.locator("#depths tr").nth(LAST - depth).locator("td").nth(token)


def texts(page):
    """Texts of the visible cells, row by row from the top."""
    rows = page.locator("#depths tr:visible").all()
    return [row.locator("td").all_text_contents() for row in rows]


def top_guesses(lens, depths=WHOLE_DEPTHS):
    return [[readable(t, 99) for t in lens["top_str"].values[depth, :, 0]] for depth in depths]


def choose_decoder(page, name):
    page.get_by_role("radio", name=name).check()


def number(text):
    """A number as the page writes it: 51.3 %, 1.2·10⁻⁷ %, −3.4, 1,234, 0.25 bit."""
    text = text.replace("−", "-").replace(",", "")
    if power := re.match(r"([\d.]+)·10(\S+)", text):
        raised = power[2].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
        return float(power[1]) * 10.0 ** int(raised)
    return float(re.match(r"-?[\d.]+", text)[0])


def assert_percent(text, logprob):
    """One decimal from 10 % on, two digits below."""
    exact = 100 * np.exp(float(logprob))
    assert text.endswith(" %")
    assert number(text) == pytest.approx(exact, abs=0.11 if exact > 9 else 0.06 * exact)


def ranks_drawn(page):
    """What the chart's marks say: depth to rank."""
    said = [title.text_content() for title in page.locator("#chart circle title").all()]
    found = [re.fullmatch(r"depth (\d*)(½?): rank ([\d,]+)", text).groups() for text in said]
    return {int(d or 0) + (0.5 if half else 0): int(r.replace(",", "")) for d, half, r in found}


def ranks_of(series, depths=WHOLE_DEPTHS):
    return {depth / 2: int(series[depth]) + 1 for depth in depths}


# Loading ------------------------------------------------------------------------------------


def test_page_asks_for_nothing(page):
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0
    assert page.locator("#trouble").is_hidden()
    assert page.title() == "p$1$ · lens"
    assert page.get_by_role("heading", level=1).text_content() == "p$1$ semantic"


def test_everything_packed_comes_out(page, lenses):
    """Whole numbers as they were, nats and logits as near as `build_page` says."""
    got = page.evaluate("""async () => {
        const [header, lenses] = await unpack(byId("data").textContent.trim());
        const each = (n, f) => Array.from({ length: n }, (_, i) => f(i));
        const [D, T, K] = [header.depths.length, header.input.length, header.k];
        return lenses.map((lens) => {
            const cells = (f) => each(D, (d) => each(T, (t) => f(t, d)));
            const id = (entry) => entry < 0 ? -1 : header.ids[entry];
            const { input, target } = header;
            const of = { final: (t) => lens.final(t), input: (t) => input[t], target: (t) => target[t] };
            const known = Object.entries(of).flatMap(([name, token]) => [
                [`rank_of_${name}`, cells((t, d) => token(t) < 0 ? -1 : lens.ranks(t, token(t))[d])],
                [`logprob_${name}`, cells((t, d) => token(t) < 0 ? NaN : lens.logprobOf(t, d, token(t)))]]);
            return {
                top_id: cells((t, d) => each(K, (k) => id(lens.guess(t, d, k)))),
                top_logit: cells((t, d) => each(K, (k) => lens.logit(t, d, k))),
                top_logprob: cells((t, d) => each(K, (k) => lens.logprob(t, d, k))),
                entropy: cells((t, d) => lens.nats("entropy", t, d)),
                kl_final: cells((t, d) => lens.nats("klFinal", t, d)),
                kl_input: cells((t, d) => lens.nats("klInput", t, d)),
                rank_of_guess: cells((t, d) => each(D, (g) => lens.ranks(t, lens.guess(t, g))[d])),
                ...Object.fromEntries(known),
            };
        });
    }""")
    for lens, found in zip(lenses.values(), got, strict=True):
        for name, values in found.items():
            exact = lens[name].values
            if np.issubdtype(exact.dtype, np.integer):
                np.testing.assert_array_equal(values, exact, err_msg=name)
            elif name == "top_logit":
                likely = lens["top_logprob"].values > np.log(0.001)
                np.testing.assert_allclose(np.array(values)[likely], exact[likely], atol=0.02)
            else:
                # Half of 1 / 450 of the slope of log(1 + 5 x).
                bound = (1 + 5 * np.abs(np.nan_to_num(exact))) / (2 * 5 * 450) + 1e-9
                off = np.abs(np.array(values, float) - exact)
                assert (np.isnan(exact) | (off <= 1.01 * bound)).all(), name


@pytest.mark.parametrize(
    "said,text",
    [
        ("percent(0)", "100.0 %"),
        ("percent(Math.log(0.51349))", "51.3 %"),
        ("percent(Math.log(0.099))", "9.9 %"),
        ("percent(Math.log(0.0996))", "10.0 %"),
        ("percent(Math.log(0.0001234))", "0.012 %"),
        ("percent(Math.log(1.04e-6))", "1.0·10⁻⁴ %"),
        ("percent(Math.log(9.97e-9))", "1.0·10⁻⁶ %"),
        ("percent(-1000)", "5.1·10⁻⁴³³ %"),
        ("amount(0.0123)", "0.012"),
        ("amount(2.345)", "2.35"),
        ("amount(31.26)", "31.3"),
        ("fixed(-3.456, 1)", "−3.5"),
        ("ordinal(1234)", "1,235"),
        ("depthName(0.5)", "½"),
        ("depthName(11.5)", "11½"),
        ("depthMeaning(3)", "the output of block 2"),
    ],
)
def test_numbers_are_written_for_readers(page, said, text):
    assert page.evaluate(said) == text


# The grid -----------------------------------------------------------------------------------


def test_grid_shows_guesses_inputs_targets_and_agreement(page, lenses):
    lens = lenses["logit"]
    assert texts(page) == top_guesses(lens)
    rows = page.locator("#depths tr:visible")
    assert rows.locator("th").all_text_contents() == ["3", "2", "1", "0"]
    assert rows.first.bounding_box()["y"] < rows.last.bounding_box()["y"]

    ids = lens["top_id"].values[..., 0]
    boxed = [[cell(page, d, t).evaluate("e => getComputedStyle(e).boxShadow.includes('rgb(213, 94, 0)')")
              for t in range(N_TOKENS)] for d in WHOLE_DEPTHS]  # fmt: skip
    np.testing.assert_array_equal(boxed, ids[WHOLE_DEPTHS] == ids[-1])
    assert 0 < np.mean(boxed[1:]) < 1

    below = page.locator("#below th").all()[1:]
    assert [th.locator(".token").text_content() for th in below] == [
        readable(t, 99) for t in lens["token_str"].values
    ]
    assert [th.locator(".position").text_content() for th in below] == [str(t) for t in range(N_TOKENS)]
    right = ids[-1] == lens["target_id"].values
    assert 0 < right.sum() < N_TOKENS - 1
    above = [
        ("★ " if hit else "") + readable(t, 99)
        for hit, t in zip(right, lens["target_str"].values, strict=True)
    ]
    assert page.locator("#above th").all_text_contents()[1:] == above


def test_half_depths_are_switched_on_and_off(page, lenses):
    switch = page.get_by_role("switch", name="Half-depths")
    assert not switch.is_checked()
    switch.check()
    assert texts(page) == top_guesses(lenses["logit"], ALL_DEPTHS)
    assert page.locator("#depths tr:visible th").all_text_contents() == ["3", "2½", "2", "1½", "1", "½", "0"]
    cell(page, 3, 2).hover()
    assert page.locator("#detail-what").text_content() == "after the attention of block 1, before its MLP"
    switch.uncheck()
    assert texts(page) == top_guesses(lenses["logit"])
    assert page.locator("#detail-title").text_content() == "Depth 1, position 2"  # ½ is not there any more


def test_without_half_depths_there_is_no_switch(open_page, lenses):
    whole = {
        name: lens.isel(depth=slice(None, None, 2), guess=slice(None, None, 2))
        for name, lens in lenses.items()
    }
    page = open_page(build_page(whole))
    assert page.get_by_role("switch").count() == 0
    assert texts(page) == top_guesses(lenses["logit"])


def test_decoders_are_switched(page, lenses):
    assert page.get_by_role("radio").count() == 2
    assert top_guesses(lenses["logit"]) != top_guesses(lenses["tuned"])
    choose_decoder(page, "tuned")
    assert texts(page) == top_guesses(lenses["tuned"])
    cell(page, 4, 1).hover()
    guesses = page.locator("#guesses .token").all_text_contents()
    assert guesses == [readable(t, 99) for t in lenses["tuned"]["top_str"].values[4, 1]]
    choose_decoder(page, "logit")
    assert texts(page) == top_guesses(lenses["logit"])


@pytest.mark.parametrize("norm,said", [("whole", "whole final norm"), ("plain", "without gain and bias")])
def test_norm_is_said(open_page, norm, said):
    page = open_page(build_page(make_lenses(norm=norm)))
    assert said in page.locator(".key").text_content()


# Name of the colouring to the values, the scale's norm, whether small is bright, and its ticks.
LOGITS = "logit of the top guess"
SCALES = {
    LOGITS: (lambda lens: lens["top_logit"].values[..., 0], None, False, None),
    "probability of the top guess": (
        lambda lens: np.exp(lens["top_logprob"].values[..., 0]),
        Normalize(0, 1),
        False,
        ["0", "0.25", "0.5", "0.75", "1"],
    ),
    "rank of the final top guess": (
        lambda lens: lens["rank_of_final"].values + 1,
        LogNorm(1, 100),
        True,
        ["1", "2", "5", "10", "20", "50", "≥ 100"],
    ),
    "KL(final ‖ depth)": (
        lambda lens: lens["kl_final"].values,
        PowerNorm(0.5, 0, 30),
        True,
        ["0", "1", "3", "6", "10", "20", "≥ 30"],
    ),
    "KL(input ‖ depth)": (
        lambda lens: lens["kl_input"].values,
        PowerNorm(0.5, 0, 30),
        True,
        ["0", "1", "3", "6", "10", "20", "≥ 30"],
    ),
    "rank of the input token": (
        lambda lens: lens["rank_of_input"].values + 1,
        LogNorm(1, 1000),
        True,
        ["1", "2", "5", "10", "20", "50", "100", "200", "≥ 1000"],
    ),
}


def test_all_colourings_are_offered(page):
    assert [option.strip() for option in page.locator("#colouring option").all_text_contents()] == list(
        SCALES
    )


@pytest.mark.parametrize("name", SCALES)
def test_colours_are_those_of_the_scale(open_page, name):
    lenses = make_lenses()
    if "rank" in name:  # as of a larger vocabulary, so that some lie beyond the end of the scale
        ranks = [key for key in lenses["logit"] if key.startswith("rank_")]
        lenses = {n: lens.assign({key: lens[key] * 150 for key in ranks}) for n, lens in lenses.items()}
    values_of, norm, near, ticks = SCALES[name]
    if norm is None:
        from_depth_1_on = np.stack([values_of(lens)[2:] for lens in lenses.values()])
        norm = Normalize(from_depth_1_on.min(), from_depth_1_on.max())
    page = open_page(build_page(lenses))
    page.get_by_label("Colour").select_option(name)
    colours = [to_hex(c) for c in colormaps["viridis"].colors]
    for decoder, lens in lenses.items():
        choose_decoder(page, decoder)
        values = values_of(lens)
        for depth in WHOLE_DEPTHS:
            for token in range(N_TOKENS):
                share = float(np.clip(norm(values[depth, token]), 0, 1))
                wanted = round((1 - share if near else share) * 255)
                background, ink = cell(page, depth, token).evaluate(
                    "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]"
                )
                found = colours.index(to_hex(rgb(background)))
                assert abs(found - wanted) <= 2, (depth, token)
                assert contrast(rgb(background), rgb(ink)) >= 4.5
    shown = page.locator("#ticks span").all_text_contents()
    if ticks:
        assert shown == ticks
    else:
        assert all(norm.vmin <= number(tick) <= norm.vmax for tick in shown) and len(shown) >= 3
    caption = page.locator("#legend-caption").text_content()
    assert caption.startswith(name) and ("[nat]" in caption) == name.startswith("KL")


def rgb(css):
    return tuple(int(n) / 255 for n in re.findall(r"\d+", css)[:3])


def contrast(one, other):
    """WCAG 2.1's contrast ratio."""

    def luminance(colour):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return np.dot(linear, [0.2126, 0.7152, 0.0722])

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


# One cell -----------------------------------------------------------------------------------


def assert_detail(page, lens, depth, token):
    """The panel tells all that the dataset holds of a cell."""
    at = {"depth": depth, "token": token}
    assert page.locator("#detail-title").text_content() == f"Depth {depth // 2}, position {token}"
    rows = page.locator("#guesses tr").all()
    assert len(rows) == 10
    guesses = zip(
        rows, *(lens[name].isel(at).values for name in ("top_str", "top_logprob", "top_logit")), strict=True
    )
    for place, (row, text, logprob, logit) in enumerate(guesses, 1):
        shown = row.locator("td").all_text_contents()
        assert shown[:2] == [str(place), readable(text, 99)]
        assert_percent(shown[3], logprob)
        assert number(shown[4]) == pytest.approx(logit, abs=0.08)
        bar, box = row.locator(".share").bounding_box(), row.locator(".bar").bounding_box()
        assert bar["width"] == pytest.approx(max(1, np.exp(logprob) * (box["width"] - 6.4)), abs=1.5)
    nats = [number(text) for text in page.locator("#distances dd").all_text_contents()]
    exact = [float(lens[name].isel(at)) for name in ("entropy", "kl_final", "kl_input")]
    np.testing.assert_allclose(nats, exact, atol=0.06)
    for row, what in zip(page.locator("#references tr").all(), ("final", "input", "target"), strict=True):
        shown = row.locator("td").all_text_contents()
        rank, logprob = (lens[f"{name}{what}"].isel(at).item() for name in ("rank_of_", "logprob_"))
        if rank < 0:
            assert shown == ["none"]
            continue
        ids = {"final": lens["top_id"].values[-1, token, 0], "input": lens["token_id"].values[token]}
        vocabulary = dict(zip(lens["top_id"].values.ravel(), lens["top_str"].values.ravel(), strict=True))
        assert shown[0] == readable(vocabulary[ids.get(what, lens["target_id"].values[token])], 99)
        assert number(shown[1]) == rank + 1
        assert_percent(shown[2], logprob)
        if what == "target":
            assert shown[3].endswith(" bit")
            assert number(shown[3]) == pytest.approx(-logprob / np.log(2), abs=0.06)


@pytest.mark.parametrize("depth,token", [(0, 0), (2, 3), (4, 6), (6, 5)])
def test_hover_shows_guesses_and_readouts(page, lenses, depth, token):
    cell(page, depth, token).hover()
    assert_detail(page, lenses["logit"], depth, token)


def test_tap_shows_them_on_a_phone(open_page, lenses):
    page = open_page(
        build_page(lenses), viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    cell(page, 4, 2).tap()
    assert_detail(page, lenses["logit"], 4, 2)


def test_keyboard_moves_among_cells(page, lenses):
    lens = lenses["logit"]
    page.locator("#half").focus()
    page.keyboard.press("Tab")  # into the grid: the last position at the last depth
    assert_detail(page, lens, 6, N_TOKENS - 1)
    for key in ("ArrowLeft", "ArrowDown", "ArrowDown", "ArrowUp", "Home"):
        page.keyboard.press(key)
    assert_detail(page, lens, 4, 0)
    for key in ("ArrowRight", "PageDown", "ArrowUp"):
        page.keyboard.press(key)
    assert_detail(page, lens, 0, 1)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert ranks_drawn(page) == ranks_of(lens["rank_of_guess"].values[:, 2, 0])
    page.keyboard.press("Escape")
    assert page.locator("#chart").is_hidden()


# Following a token --------------------------------------------------------------------------


def test_click_follows_the_top_guess(page, lenses):
    lens = lenses["logit"]
    for depth, token in [(2, 1), (6, 4)]:
        cell(page, depth, token).click()
        assert ranks_drawn(page) == ranks_of(lens["rank_of_guess"].values[:, token, depth])
        title = page.locator("#chart-title").text_content()
        assert title == f"Rank of {readable(lens['top_str'].values[depth, token, 0], 99)} at position {token}"
    page.get_by_role("switch", name="Half-depths").check()
    assert ranks_drawn(page) == ranks_of(lens["rank_of_guess"].values[:, 4, 6], ALL_DEPTHS)


def test_chart_has_rank_1_on_top_and_a_log_scale(page, lenses):
    ranks = lenses["logit"]["rank_of_guess"].values
    token = int(np.argmax(ranks[0, :, LAST]))
    cell(page, LAST, token).click()
    y = np.array([float(mark.get_attribute("cy")) for mark in page.locator("#chart circle").all()])
    exact = np.log10(ranks[sorted(WHOLE_DEPTHS), token, LAST] + 1)
    assert exact[0] > 0.5 and exact[-1] == 0
    labels = page.locator("#chart text[text-anchor=end]").all()
    height = {label.text_content(): float(label.get_attribute("y")) for label in labels}
    per_decade = height["10"] - height["1"]
    np.testing.assert_allclose(y - y[-1], exact * per_decade, atol=0.01)
    assert per_decade > 20


def test_click_on_the_edge_follows_input_and_target(page, lenses):
    lens = lenses["logit"]
    token = int(np.flatnonzero(lens["token_id"].values != lens["target_id"].values)[1])
    page.locator("#below th[data-t]").nth(token).click()
    assert ranks_drawn(page) == ranks_of(lens["rank_of_input"].values[:, token])
    page.locator("#above th[data-t]").nth(token).click()
    assert ranks_drawn(page) == ranks_of(lens["rank_of_target"].values[:, token])
    page.locator("#above th[data-t]").nth(N_TOKENS - 1).click()  # nothing there
    assert page.locator("#chart").is_hidden()


def test_followed_token_is_let_go(page):
    chart = page.locator("#chart")
    assert chart.is_hidden()
    cell(page, 4, 2).click()
    assert chart.is_visible()
    assert "followed" in cell(page, 4, 2).get_attribute("class")
    cell(page, 4, 2).click()
    assert chart.is_hidden()
    cell(page, 4, 2).click()
    page.keyboard.press("Escape")
    assert chart.is_hidden() and "followed" not in cell(page, 4, 2).get_attribute("class")
    cell(page, 4, 2).click()
    page.get_by_role("button", name="Stop following").click()
    assert chart.is_hidden()


def test_followed_token_outlives_a_switch_of_decoder(page, lenses):
    logit, tuned = lenses.values()
    ids, others = (lens["top_id"].values[..., 0] for lens in (logit, tuned))
    edge = [{a, b} for a, b in zip(logit["token_id"].values, logit["target_id"].values, strict=True)]
    cells = [(d, t) for d in WHOLE_DEPTHS for t in range(N_TOKENS) if ids[d, t] not in edge[t]]
    depth, token = next((d, t) for d, t in cells if ids[d, t] in others[:, t] and ids[d, t] != ids[-1, t])
    cell(page, depth, token).click()
    choose_decoder(page, "tuned")
    there = np.flatnonzero(others[:, token] == ids[depth, token])[0]
    assert ranks_drawn(page) == ranks_of(tuned["rank_of_guess"].values[:, token, there])

    choose_decoder(page, "logit")
    depth, token = next((d, t) for d, t in cells if ids[d, t] not in others[:, t])
    cell(page, depth, token).click()
    choose_decoder(page, "tuned")
    assert page.locator("#chart").is_hidden()
    assert "No rank" in page.locator("#chart-note").text_content()
    choose_decoder(page, "logit")
    assert ranks_drawn(page) == ranks_of(logit["rank_of_guess"].values[:, token, depth])


# Hostile and unreadable tokens --------------------------------------------------------------


def test_tokens_stay_text(open_page):
    evil = "</title></script><script>alert(2)</script><img src=x onerror=alert(3)>"
    lenses = {n: respell(lens, list(HOSTILE)) for n, lens in make_lenses(prompt=evil, category=evil).items()}
    page = open_page(build_page(lenses))
    ids = lenses["logit"]["top_id"].values[..., 0]
    readable_ones = list(HOSTILE.values())
    assert texts(page) == [[readable_ones[i] for i in ids[depth]] for depth in WHOLE_DEPTHS]
    cell(page, 2, 1).click()
    guesses = page.locator("#guesses .token").all_text_contents()
    assert guesses == [readable_ones[i] for i in lenses["logit"]["top_id"].values[2, 1]]
    assert page.locator("#chart-title").text_content() == f"Rank of {readable_ones[ids[2, 1]]} at position 1"
    assert page.title() == f"{evil} · lens"
    assert page.get_by_role("heading", level=1).text_content() == f"{evil} {evil}"
    assert page.evaluate("[document.scripts.length, document.images.length]") == [2, 0]
    assert page.locator("main b").count() == 0
    written = page.locator(".text").text_content()
    assert "\0" not in written and "\u2028" not in written and "\u202e" not in written


def test_inline_script_that_is_not_ours_is_refused(browser, tmp_path, lenses):
    file = tmp_path / "page.html"
    file.write_text(build_page(lenses).replace("</body>", "<script>window.ran = 1</script></body>"))
    page = browser.new_page()
    page.goto(file.as_uri())
    page.locator("#page").wait_for()
    assert page.evaluate("window.ran") is None
    page.close()


# Looks --------------------------------------------------------------------------------------


def test_phone_scrolls_the_grid_and_not_the_page(open_page):
    lens = make_lens(12, 30, top_k=10, prompt="a_long_name_" * 9)
    page = open_page(build_page({"logit": lens}), viewport={"width": 390, "height": 844}, is_mobile=True)
    cell_24 = page.locator("#depths tr").first.locator("td").nth(24)
    cell_24.click()  # scrolls it into view
    widths = page.evaluate("""() => {
        const measure = (e) => [e.scrollWidth, e.clientWidth, e.scrollLeft];
        const grid = document.querySelector(".scroller");
        return { body: measure(document.documentElement), grid: measure(grid) };
    }""")
    assert widths["body"][0] <= widths["body"][1] == 390 and widths["body"][2] == 0
    assert widths["grid"][0] > widths["grid"][1] and widths["grid"][2] > 0
    assert page.locator("#depths tr").first.locator("th").bounding_box()["x"] >= 0  # depths stay in sight


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_are_legible(open_page, lenses, scheme):
    page = open_page(build_page(lenses), color_scheme=scheme)
    cell(page, 4, 2).click()
    paper = rgb(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (np.mean(paper) < 0.2) == (scheme == "dark")
    card = rgb(page.locator(".card").first.evaluate("e => getComputedStyle(e).backgroundColor"))
    for where, behind in {
        "h1": paper,
        ".key": paper,
        "#guesses .token": card,
        "#references th": card,
    }.items():
        ink = rgb(page.locator(where).first.evaluate("e => getComputedStyle(e).color"))
        assert contrast(ink, behind) >= 4.5, where
    label = rgb(page.locator("#chart text").first.evaluate("e => getComputedStyle(e).fill"))
    assert contrast(label, card) >= 4.5
