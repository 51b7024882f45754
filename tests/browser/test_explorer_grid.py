"""The explorer's grid in a real browser, against the datasets that it was made from."""

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import LogNorm, Normalize, PowerNorm, to_hex

from browser.shown import (
    assert_detail,
    cell,
    choose_decoder,
    choose_prompt,
    number,
    ranks_drawn,
    ranks_of,
    rgb,
    texts,
    top_guesses,
)
from oracles.contrast import contrast
from oracles.explorer import assert_rounded
from oracles.explorer_example import ALL_DEPTHS, LAST, TEXTS, WHOLE_DEPTHS, make_lenses, make_trace, of_prompt
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


@pytest.fixture
def page(open_page, lenses):
    return open_page(build_explorer(lenses))


def test_everything_packed_comes_out(page, lenses):
    """Whole numbers as they were, nats and logits as near as `strata.figures.explorer_packing` says."""
    got = page.evaluate("""async () => {
        const header = await unpackHeader(byId("data").textContent);
        const each = (n, f) => Array.from({ length: n }, (_, i) => f(i));
        const read = async (element, i) => {
            const prompt = await unpackPrompt(header, element.textContent);
            const [D, T, K] = [header.depths.length, prompt.input.length, header.k];
            return [header.prompts[i].id, prompt.lenses.map((lens) => {
                const cells = (f) => each(D, (d) => each(T, (t) => f(t, d)));
                const id = (entry) => entry < 0 ? -1 : header.ids[entry];
                const { input, target } = prompt;
                const of = { final: (t) => lens.final(t), input: (t) => input[t], target: (t) => target[t] };
                const rank = (t, d, token) => token < 0 ? -1 : lens.ranks(t, token)[d];
                const logprob = (t, d, token) => token < 0 ? NaN : lens.logprobOf(t, d, token);
                const known = Object.entries(of).flatMap(([name, token]) => [
                    [`rank_of_${name}`, cells((t, d) => rank(t, d, token(t)))],
                    [`logprob_${name}`, cells((t, d) => logprob(t, d, token(t)))]]);
                return {
                    top_id: cells((t, d) => each(K, (k) => id(lens.guess(t, d, k)))),
                    top_logit: cells((t, d) => each(K, (k) => lens.logit(t, d, k))),
                    top_logprob: cells((t, d) => each(K, (k) => lens.logprob(t, d, k))),
                    entropy: cells((t, d) => lens.nats("entropy", t, d)),
                    kl_final: cells((t, d) => lens.nats("kl_final", t, d)),
                    kl_input: cells((t, d) => lens.nats("kl_input", t, d)),
                    rank_of_guess: cells((t, d) => each(D, (g) => lens.ranks(t, lens.guess(t, g))[d])),
                    ...Object.fromEntries(known),
                };
            })];
        };
        return Promise.all([...document.querySelectorAll("[data-prompt]")].map(read));
    }""")
    assert [prompt for prompt, _ in got] == list(TEXTS)
    for prompt, decoders in got:
        for (name, lens), found in zip(lenses.items(), decoders, strict=True):
            exact = of_prompt(lens, prompt)
            for variable, values in found.items():
                assert_rounded(variable, values, exact[variable].values, exact["top_logprob"].values)
            assert set(found) == set(exact) - {"top_str", "bits_target"}, name


WRITTEN = {
    "percent(0)": "100.0 %",
    "percent(Math.log(0.9967))": "99.7 %",
    "percent(Math.log(0.51349))": "51 %",
    "percent(Math.log(0.099))": "9.9 %",
    "percent(Math.log(0.0996))": "10 %",
    "percent(Math.log(0.0001234))": "0.012 %",
    "percent(Math.log(1.04e-6))": "1.0·10⁻⁴ %",
    "percent(Math.log(9.97e-9))": "1.0·10⁻⁶ %",
    "percent(-1000)": "5.1·10⁻⁴³³ %",
    "amount(0.0123)": "0.012",
    "amount(1.345)": "1.34",
    "amount(2.345)": "2.3",
    "amount(31.26)": "31",
    "share(0.6244)": "0.62",
    "share(0.0312)": "0.031",
    "share(0.0001)": "< 0.001",
    "fixed(-3.456, 1)": "−3.5",
    "ordinal(98, 100)": "99",
    "ordinal(1234, 100)": "≈ 1,200",
    "ordinal(1234, 2000)": "1,235",
    "depthName(0.5)": "½",
    "depthName(11.5)": "11½",
    "depthMeaning(3)": "the output of block 2",
}


def test_numbers_are_written_for_readers(page):
    assert {said: page.evaluate(said) for said in WRITTEN} == WRITTEN


# What is shown ------------------------------------------------------------------------------


def test_grid_shows_guesses_inputs_targets_and_agreement(page, own):
    lens = own["logit"]
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


@pytest.mark.parametrize("prompt", TEXTS)
def test_every_prompt_has_its_grid(page, lenses, prompt):
    choose_prompt(page, prompt)
    for name, lens in lenses.items():
        choose_decoder(page, name)
        assert texts(page) == top_guesses(of_prompt(lens, prompt))


def test_half_depths_are_switched_on_and_off(page, own):
    switch = page.get_by_role("switch", name="Half-depths")
    assert not switch.is_checked()
    switch.check()
    assert texts(page) == top_guesses(own["logit"], ALL_DEPTHS)
    assert page.locator("#depths tr:visible th").all_text_contents() == ["3", "2½", "2", "1½", "1", "½", "0"]
    cell(page, 3, 2).hover()
    assert page.locator("#detail-what").text_content() == "after the attention of block 1, before its MLP"
    switch.uncheck()
    assert texts(page) == top_guesses(own["logit"])
    assert page.locator("#detail-title").text_content() == "Depth 1, position 2"  # ½ is not there any more


def test_without_half_depths_there_is_no_switch(open_page, lenses, own):
    whole = {
        name: lens.isel(depth=slice(None, None, 2), guess=slice(None, None, 2))
        for name, lens in lenses.items()
    }
    page = open_page(build_explorer(whole))
    assert page.get_by_role("switch").count() == 0
    assert texts(page) == top_guesses(own["logit"])


def test_a_decoder_without_half_depths_shows_whole_ones_and_the_switch_waits(open_page, lenses, own):
    page = open_page(build_explorer(lenses | {"tuned": lenses["tuned"].isel(depth=slice(None, None, 2))}))
    switch = page.get_by_role("switch", name="Half-depths")
    switch.check()
    cell(page, 3, 2).hover()
    assert page.locator("#detail-title").text_content() == "Depth 1½, position 2"
    choose_decoder(page, "tuned")
    assert texts(page) == top_guesses(own["tuned"]) and switch.is_disabled()
    assert page.locator("#detail-title").text_content() == "Depth 1, position 2"
    choose_decoder(page, "logit")
    assert texts(page) == top_guesses(own["logit"], ALL_DEPTHS) and switch.is_enabled()


def test_decoders_are_switched(page, own):
    assert page.get_by_role("radio").count() == 2
    assert top_guesses(own["logit"]) != top_guesses(own["tuned"])
    choose_decoder(page, "tuned")
    assert texts(page) == top_guesses(own["tuned"])
    cell(page, 4, 1).hover()
    guesses = page.locator("#guesses .token").all_text_contents()
    assert guesses == [readable(t, 99) for t in own["tuned"]["top_str"].values[4, 1]]
    choose_decoder(page, "logit")
    assert texts(page) == top_guesses(own["logit"])


@pytest.mark.parametrize("norm,said", [("whole", "whole final norm"), ("plain", "without gain and bias")])
def test_norm_is_said(open_page, norm, said):
    page = open_page(build_explorer(make_lenses(norm=norm)))
    assert said in page.locator(".key").text_content()


# Colours ------------------------------------------------------------------------------------

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


STYLES = """rows => rows.map((row) => Array.from(row.querySelectorAll("td"), (cell) => {
    const { backgroundColor, color } = getComputedStyle(cell);
    return [backgroundColor, color];
}))"""
"""Colours of grounds and letters, row by row from the top."""


@pytest.mark.parametrize("name", SCALES)
def test_colours_are_those_of_the_scale(open_page, name):
    lenses = make_lenses(texts={FIRST: TEXTS[FIRST]})
    if "rank" in name:  # as of a larger vocabulary, so that some lie beyond the end of the scale
        ranks = [key for key in lenses["logit"] if key.startswith("rank_")]
        lenses = {n: lens.assign({key: lens[key] * 150 for key in ranks}) for n, lens in lenses.items()}
    values_of, norm, near, ticks = SCALES[name]
    if norm is None:
        from_depth_1_on = np.stack([values_of(lens)[2:] for lens in lenses.values()])
        norm = Normalize(from_depth_1_on.min(), from_depth_1_on.max())
    page = open_page(build_explorer(lenses))
    page.get_by_label("Colour").select_option(name)
    colours = [to_hex(c) for c in colormaps["viridis"].colors]
    for decoder, lens in lenses.items():
        choose_decoder(page, decoder)
        values, styles = values_of(lens), page.locator("#depths tr").evaluate_all(STYLES)
        for depth in WHOLE_DEPTHS:
            for token in range(N_TOKENS):
                share = float(np.clip(norm(values[depth, token]), 0, 1))
                wanted = round((1 - share if near else share) * 255)
                background, ink = map(rgb, styles[LAST - depth][token])
                assert abs(colours.index(to_hex(background)) - wanted) <= 2, (depth, token)
                assert contrast(background, ink) >= 4.5
    shown = page.locator("#ticks span").all_text_contents()
    if ticks:
        assert shown == ticks
    else:
        assert all(norm.vmin <= number(tick) <= norm.vmax for tick in shown) and len(shown) >= 3
    caption = page.locator("#legend-caption").text_content()
    assert caption.startswith(name) and ("[nat]" in caption) == name.startswith("KL")


# One cell -----------------------------------------------------------------------------------


@pytest.mark.parametrize("depth,token", [(0, 0), (2, 3), (4, 6), (6, 5)])
def test_hover_shows_guesses_and_readouts(page, own, depth, token):
    cell(page, depth, token).hover()
    assert_detail(page, own["logit"], depth, token)


def test_at_first_the_answer_is_shown_and_of_a_passage_the_beginning(page, lenses, own):
    assert_detail(page, own["logit"], 6, N_TOKENS - 1)
    choose_prompt(page, "walk")
    assert_detail(page, of_prompt(lenses["logit"], "walk"), 6, 0)


def test_tap_shows_them_on_a_phone(open_page, lenses, own):
    page = open_page(
        build_explorer(lenses), viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    cell(page, 4, 2).tap()
    assert_detail(page, own["logit"], 4, 2)


def test_keyboard_moves_among_cells(open_page, lenses, own):
    page = open_page(build_explorer(lenses, make_trace(lenses["logit"])))
    lens = own["logit"]
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
