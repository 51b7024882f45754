"""Following a token through depth, and the causal trace beside the grid."""

import re

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex

from browser.shown import (
    address,
    cell,
    choose_decoder,
    choose_prompt,
    number,
    ranks_drawn,
    ranks_of,
    rgb,
)
from oracles.explorer_example import (
    ALL_DEPTHS,
    LAST,
    N_LAYERS,
    NOISES,
    SUBJECTS,
    TEXTS,
    WHOLE_DEPTHS,
    make_lenses,
    make_trace,
    of_prompt,
)
from strata.figures.explorer import build_explorer
from strata.figures.style import readable

FIRST = "p$1$"
N_TOKENS = TEXTS[FIRST]["n_tokens"]


@pytest.fixture(scope="module")
def lenses():
    return make_lenses()


@pytest.fixture(scope="module")
def own(lenses):
    """The lenses of the prompt that is shown first."""
    return {name: of_prompt(lens, FIRST) for name, lens in lenses.items()}


@pytest.fixture(scope="module")
def trace(lenses):
    return make_trace(lenses["logit"])


@pytest.fixture
def page(open_page, lenses, trace):
    return open_page(build_explorer(lenses, trace), viewport={"width": 1400, "height": 1000})


# Following a token --------------------------------------------------------------------------


def test_click_follows_the_top_guess(page, own):
    lens = own["logit"]
    for depth, token in [(2, 1), (6, 4)]:
        cell(page, depth, token).click()
        assert ranks_drawn(page) == ranks_of(lens["rank_of_guess"].values[:, token, depth])
        title = page.locator("#chart-title").text_content()
        assert title == f"Rank of {readable(lens['top_str'].values[depth, token, 0], 99)} at position {token}"
    page.get_by_role("switch", name="Half-depths").check()
    assert ranks_drawn(page) == ranks_of(lens["rank_of_guess"].values[:, 4, 6], ALL_DEPTHS)


def test_chart_has_rank_1_on_top_and_a_log_scale(page, own):
    ranks = own["logit"]["rank_of_guess"].values
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
    choose_prompt(page, "walk")
    lens = of_prompt(lenses["logit"], "walk")
    token = int(np.flatnonzero(lens["token_id"].values != lens["target_id"].values)[1])
    page.locator("#below th[data-t]").nth(token).click()
    assert ranks_drawn(page) == ranks_of(lens["rank_of_input"].values[:, token])
    page.locator("#above th[data-t]").nth(token).click()
    assert ranks_drawn(page) == ranks_of(lens["rank_of_target"].values[:, token])
    page.locator("#above th[data-t]").nth(TEXTS["walk"]["n_tokens"] - 1).click()  # nothing there
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


def test_followed_token_outlives_a_switch_of_decoder(page, own):
    logit, tuned = own.values()
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
    choose_decoder(page, "tuned")  # of which it is nowhere on top: told where it is among the ten best
    places = [np.flatnonzero(row == ids[depth, token]) for row in tuned["top_id"].values[:, token]]
    told = {d / 2: int(places[d][0]) + 1 if len(places[d]) else None for d in WHOLE_DEPTHS}
    assert ranks_drawn(page) == told
    choose_decoder(page, "logit")
    assert ranks_drawn(page) == ranks_of(logit["rank_of_guess"].values[:, token, depth])


def test_guesses_of_the_panel_are_followed(page, own):
    lens = own["logit"]
    cell(page, 4, 2).hover()
    third = lens["top_id"].values[4, 2, 2]
    page.locator("#guesses button").nth(2).click()
    name = readable(lens["top_str"].values[4, 2, 2], 99)
    assert page.locator("#chart-title").text_content() == f"Rank of {name} at position 2"
    places = {d: np.flatnonzero(lens["top_id"].values[d, 2] == third) for d in WHOLE_DEPTHS}
    found = ranks_drawn(page)
    assert all(found[d / 2] == place[0] + 1 for d, place in places.items() if len(place))
    assert page.locator("#guesses .followed .token").all_text_contents() == [name]


def test_without_ranks_of_guesses_what_is_not_known_is_said(open_page, lenses):
    """A guess that is neither the final one, the input nor the true next token, with three best ones kept."""
    few = {n: lens.isel(k=slice(3)).drop_vars(["rank_of_guess", "guess"]) for n, lens in lenses.items()}
    lens = of_prompt(few["logit"], FIRST)
    ids = lens["top_id"].values
    edge = [
        {a, b, c}
        for a, b, c in zip(lens["token_id"].values, lens["target_id"].values, ids[-1, :, 0], strict=True)
    ]
    depth, token = next(
        (d, t) for d in WHOLE_DEPTHS[1:] for t in range(N_TOKENS) if ids[d, t, 0] not in edge[t]
    )
    page = open_page(build_explorer(few))
    cell(page, depth, token).click()
    found = {}
    for mark in page.locator("#chart circle").all():
        at, rank = re.fullmatch(r"depth (\d): rank (above 3|\d)", mark.text_content()).groups()
        found[int(at)] = rank
        assert (mark.get_attribute("class") == "beyond") == (rank == "above 3")
    places = {d: np.flatnonzero(ids[d, token] == ids[depth, token, 0]) for d in WHOLE_DEPTHS}
    assert found == {d // 2: str(p[0] + 1) if len(p) else "above 3" for d, p in places.items()}
    assert "above 3" in found.values()
    assert "not among the 3 best there" in page.locator("#chart-note").text_content()


# The causal trace ---------------------------------------------------------------------------


def levels(trace, prompt, noise):
    """The target's probability clean, corrupted, and restored (depth, position)."""
    one = trace.sel(prompt=prompt, noise=noise).mean("sample").astype(float)
    return float(one["p_clean"]), float(one["p_corrupted"]), one["p_target"].values


@pytest.mark.parametrize("noise", NOISES)
def test_trace_is_drawn_by_depth_and_position(page, trace, noise):
    page.get_by_label("Corruption").select_option(noise)
    clean, corrupted, restored = levels(trace, FIRST, noise)
    first, last = SUBJECTS[FIRST]
    colours = [to_hex(c) for c in colormaps["viridis"].colors]
    assert page.locator("#trace-cells rect").count() == N_LAYERS * (N_TOKENS - first)
    boxes = {}
    for depth in range(N_LAYERS):
        for t in range(first, N_TOKENS):
            exact = (restored[depth, t] - corrupted) / (clean - corrupted)
            rect = page.locator(f'#trace-cells rect[data-t="{t}"][data-depth="{depth}"]')
            found = colours.index(to_hex(rgb(rect.evaluate("e => getComputedStyle(e).fill"))))
            assert found == pytest.approx(np.clip(exact, 0, 1) * 255, abs=1)
            boxes[depth, t] = rect.bounding_box()
            rect.hover()
            said = page.locator("#trace-said").text_content()
            assert said.startswith(f"State of depth {depth} at ") and f"position {t}: restoration" in said
            value, p = re.search(r"restoration (−?[\d.]+), p = (?:< )?([\d.]+)\.$", said).groups()
            assert number(value) == pytest.approx(exact, abs=0.0051 + 1e-4 / abs(clean - corrupted))
            assert float(p) == pytest.approx(restored[depth, t], abs=0.0051)
            assert page.locator("#detail-title").text_content() == f"Depth {depth}, position {t}"
    assert boxes[0, first]["x"] < boxes[1, first]["x"] and boxes[0, first]["y"] < boxes[0, first + 1]["y"]
    labels = page.locator("#trace-cells text[text-anchor=end] title").all_text_contents()
    strings = [readable(token, 99) for token in trace["token_str"].sel(prompt=FIRST).values]
    assert labels == [
        f"{strings[t]}{'*' if t <= last else ''} at position {t}" for t in range(first, N_TOKENS)
    ]


def test_trace_says_what_is_measured(page, trace):
    assert page.get_by_role("heading", name="Causal trace").is_visible()
    assert page.locator("#noise").input_value() == "3x"
    options = page.locator("#noise option").all_text_contents()
    assert options == ["noise sd 0.1", "noise 3 × embedding sd = 0.25", "subject replaced"]
    clean, corrupted, _ = levels(trace, FIRST, "3x")
    said = page.locator("#trace-measure").text_content()
    shown = re.fullmatch(r"p\(·cat\): ([\d.]+) clean, ([\d.]+) corrupted\.", said).groups()
    assert [float(x) for x in shown] == pytest.approx([clean, corrupted], abs=0.0051)
    text = page.locator("#trace-card").text_content()
    assert "restoration of the target's probability" in text and "* corrupted tokens" in text
    assert page.locator("#trace-ticks span").all_text_contents() == ["0", "0.25", "0.5", "0.75", "1"]


def test_trace_follows_the_cell_that_is_shown(page):
    page.locator("#half").focus()
    page.keyboard.press("Tab")
    said = page.locator("#trace-said")
    assert "it is what is decoded" in said.text_content()  # the last depth
    page.keyboard.press("ArrowDown")
    assert said.text_content().startswith("State of depth 2 at ")
    assert page.locator("#trace-cells rect.shown").evaluate("e => [e.dataset.t, e.dataset.depth]") == [
        "6",
        "2",
    ]
    page.keyboard.press("Home")
    assert "before the noise" in said.text_content()
    assert page.locator("#trace-cells rect.shown").count() == 0


def test_where_there_is_no_trace_it_is_said_why(page):
    choose_prompt(page, "wordy-two")
    assert page.locator("#traced").is_hidden() and page.locator("#trace-cells rect").count() == 0
    assert "the first prompts with a subject" in page.locator("#untraced").text_content()
    choose_prompt(page, "walk")
    assert "a passage has no subject" in page.locator("#untraced").text_content()
    choose_prompt(page, FIRST)
    assert page.locator("#untraced").is_hidden() and page.locator("#trace-cells rect").count() > 0


def test_corruptions_that_do_little_or_are_missing_are_said(page):
    assert "Little was" not in page.locator("#trace-measure").text_content()
    page.get_by_label("Corruption").select_option("0.1")
    assert "Little was taken away" in page.locator("#trace-measure").text_content()
    choose_prompt(page, "third")
    page.get_by_label("Corruption").select_option("0.1")
    assert "Nothing was taken away" in page.locator("#trace-measure").text_content()
    assert page.locator("#trace-map").is_hidden()
    page.get_by_label("Corruption").select_option("replaced")
    assert "no other subject" in page.locator("#trace-measure").text_content()
    assert page.locator("#trace-map").is_hidden()
    page.get_by_label("Corruption").select_option("3x")
    assert page.locator("#trace-map").is_visible()
    assert address(page)["prompt"] == "third"


def test_without_traces_there_is_no_panel(open_page, lenses):
    page = open_page(build_explorer(lenses))
    assert page.locator("#trace-card").is_hidden()
    assert page.get_by_role("heading", name="Causal trace").count() == 0
