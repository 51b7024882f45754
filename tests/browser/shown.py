"""What an explorer page shows, read back."""

import re
from urllib.parse import parse_qs

import numpy as np
import pytest

from oracles.explorer_example import LAST, WHOLE_DEPTHS
from strata.figures.style import readable


def cell(page, depth, token):
    """The cell at an index of depth."""
    return page.locator("#depths tr").nth(LAST - depth).locator("td").nth(token)


def texts(page):
    """Texts of the visible cells, row by row from the top."""
    rows = page.locator("#depths tr:visible").all()
    return [row.locator("td").all_text_contents() for row in rows]


def top_guesses(lens, depths=WHOLE_DEPTHS):
    """What `texts` should be."""
    return [[readable(t, 99) for t in lens["top_str"].values[depth, :, 0]] for depth in depths]


def choose_decoder(page, name):
    page.get_by_role("radio", name=name).check()


def choose_prompt(page, prompt):
    """Click a prompt in the list, unfolded first where it is folded, and wait until it is shown."""
    unfold = page.locator("#open-chooser[aria-expanded=false]")
    if unfold.is_visible():
        unfold.click()
    page.locator(f'#list a[data-id="{prompt}"]').click()
    wait_for_prompt(page, prompt)


def wait_for_prompt(page, prompt):
    page.locator("#prompt", has_text=re.compile(f"^{re.escape(prompt)}$")).wait_for()


def address(page):
    """The address's fields, once what waits to be written is written."""
    page.wait_for_timeout(250)
    return {name: value for name, [value] in parse_qs(page.url.partition("#")[2]).items()}


def number(text):
    """A number as the page writes it: 51 %, 1.2·10⁻⁷ %, −3.4, ≈ 1,200, 0.25 bit."""
    text = text.removeprefix("≈ ").replace("−", "-").replace(",", "")
    if power := re.match(r"([\d.]+)·10(\S+)", text):
        raised = power[2].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
        return float(power[1]) * 10.0 ** int(raised)
    return float(re.match(r"-?[\d.]+", text)[0])


def rounding(nats):
    """How much nats may be off in the page."""
    return 1.01 * (1 + 20 * abs(nats)) / (2 * 20 * 50)


def assert_percent(text, logprob):
    """No decimal from 10 % on, one from 99 % on, two digits below."""
    exact = 100 * np.exp(float(logprob))
    digits = 0.051 if exact > 98.9 else 0.51 if exact > 9 else 0.06 * exact
    assert text.endswith(" %")
    assert number(text) == pytest.approx(exact, abs=digits + exact * np.expm1(rounding(logprob)))


def assert_amount(text, exact):
    """Nats or bits: two digits and more."""
    assert number(text) == pytest.approx(exact, abs=1.5 * rounding(exact) + 0.03 * exact + 0.0006)


def assert_detail(page, lens, depth, token):
    """The panel tells all that the dataset holds of a cell."""
    at = {"depth": depth, "token": token}
    assert page.locator("#detail-title").text_content() == f"Depth {depth // 2}, position {token}"
    rows = page.locator("#guesses tr").all()
    assert len(rows) == 10
    guesses = zip(
        rows, *(lens[name].isel(at).values for name in ("top_str", "top_logprob", "top_logit")), strict=True
    )
    first = float(lens["top_logprob"].isel(at).values[0])
    for place, (row, text, logprob, logit) in enumerate(guesses, 1):
        shown = row.locator("td").all_text_contents()
        assert shown[:2] == [str(place), readable(text, 99)]
        assert_percent(shown[3], logprob)
        assert number(shown[4]) == pytest.approx(logit, abs=0.11 + rounding(logprob) + rounding(first))
        bar, box = row.locator(".share").bounding_box(), row.locator(".bar").bounding_box()
        assert bar["width"] == pytest.approx(max(1, np.exp(logprob) * (box["width"] - 6.4)), abs=1.5)
    nats = page.locator("#distances dd").all_text_contents()
    for text, name in zip(nats, ("entropy", "kl_final", "kl_input"), strict=True):
        assert text.endswith(" nat")
        assert_amount(text, float(lens[name].isel(at)))
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
            assert_amount(shown[3], -logprob / np.log(2))


def ranks_drawn(page):
    """What the chart's marks say: depth to rank, None where the rank is told to be beyond the ten best."""
    said = [title.text_content() for title in page.locator("#chart circle title").all()]
    found = [re.fullmatch(r"depth (\d*)(½?): rank (above 10|(?:≈ )?[\d,]+)", text).groups() for text in said]
    return {
        int(d or 0) + (0.5 if half else 0): None if r.startswith("above") else int(number(r))
        for d, half, r in found
    }


def ranks_of(series, depths=WHOLE_DEPTHS):
    """What `ranks_drawn` should be."""
    return {depth / 2: int(series[depth]) + 1 for depth in depths}


def rgb(css):
    return tuple(int(n) / 255 for n in re.findall(r"\d+", css)[:3])
