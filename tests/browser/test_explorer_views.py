"""Finding a prompt, and the address of every view."""

import re

import pytest

from browser.shown import (
    address,
    assert_detail,
    cell,
    choose_decoder,
    choose_prompt,
    ranks_drawn,
    ranks_of,
    texts,
    top_guesses,
    wait_for_prompt,
)
from oracles.explorer_example import ALL_DEPTHS, TEXTS, make_lenses, make_trace, of_prompt
from oracles.lens_example import VOCABULARY
from strata.figures.explorer import build_explorer
from strata.text.tokens import plain_text

FIRST = "p$1$"
WIDE = {"viewport": {"width": 1500, "height": 900}}


@pytest.fixture(scope="module")
def lenses():
    return make_lenses()


@pytest.fixture(scope="module")
def html(lenses):
    return build_explorer(lenses, make_trace(lenses["logit"]), model="tiny")


@pytest.fixture
def page(open_page, html):
    return open_page(html, **WIDE)


def listed(page):
    return page.locator("#list a:visible .id").all_text_contents()


# The list and its search --------------------------------------------------------------------


def test_all_prompts_are_listed_by_category(page):
    assert listed(page) == ["p$1$", "third", "wordy-two", "walk"]
    headings = page.locator("#list h3").all_text_contents()
    assert headings == ["semantic 2", "plain english 1", "passages 1"]
    assert page.locator("#found").text_content() == "4 prompts and passages"
    current = page.locator("#list a[aria-current]")
    assert current.get_attribute("data-id") == FIRST


@pytest.mark.parametrize(
    "search,found",
    [
        ("wordy", ["wordy-two"]),  # its id
        ("PLAIN english", ["wordy-two"]),  # its category
        ("semantic", ["p$1$", "third"]),
        ("→", []),
        ("cat", ["p$1$", "third", "wordy-two"]),  # a target, and a word of two texts
        ("cat third", ["third"]),
        ("nothing-like-it", []),
    ],
)
def test_search_finds_ids_categories_and_texts(page, search, found):
    page.get_by_role("searchbox").fill(search)
    assert listed(page) == found
    told = page.locator("#found").text_content()
    assert told.startswith(
        {0: "Nothing found", 1: "1 prompt or passage"}.get(len(found), f"{len(found)} prompts")
    )


def test_search_finds_texts_and_marks_them(page, lenses):
    """A word that stands in one text only."""
    words = {
        p: {plain_text(t).strip() for t in of_prompt(lenses["logit"], p)["token_str"].values} for p in TEXTS
    }
    word, prompt = next(
        (word, prompt)
        for token in VOCABULARY
        if (word := plain_text(token).strip()).isalpha()
        for prompt in TEXTS
        if word in words[prompt] and sum(word in each for each in words.values()) < len(TEXTS)
    )
    page.get_by_role("searchbox").fill(word.upper())
    assert prompt in listed(page) and len(listed(page)) < len(TEXTS)
    assert word in page.locator(f'#list a[data-id="{prompt}"] mark').all_text_contents()
    page.get_by_role("searchbox").fill("")
    assert page.locator("#list mark").count() == 0


def test_a_category_is_chosen(page):
    select = page.get_by_label("Category", exact=True)
    assert select.locator("option").all_text_contents() == [
        "all categories (4)",
        "semantic (2)",
        "plain english (1)",
        "passages (1)",
    ]
    select.select_option("semantic")
    assert listed(page) == ["p$1$", "third"]
    page.get_by_role("searchbox").fill("third")
    assert listed(page) == ["third"]
    select.select_option("")
    assert listed(page) == ["third"]


def test_a_click_in_the_list_shows_a_prompt(page, lenses):
    choose_prompt(page, "walk")
    assert texts(page) == top_guesses(of_prompt(lenses["logit"], "walk"))
    assert page.locator("#list a[aria-current]").get_attribute("data-id") == "walk"
    assert page.get_by_role("heading", level=1).text_content() == "walk passages"
    assert page.title() == "walk · tiny lens"
    assert page.locator("#goal").is_hidden()  # a passage has no target
    choose_prompt(page, "third")
    assert page.locator("#goal").text_content() == "·the"


def test_keyboard_finds_a_prompt(page):
    page.keyboard.press("/")
    page.keyboard.type("semantic")
    assert page.get_by_role("searchbox").input_value() == "semantic"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    wait_for_prompt(page, "third")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")  # back in the search
    page.keyboard.press("Escape")
    assert listed(page) == ["p$1$", "third", "wordy-two", "walk"]
    page.keyboard.type("wordy")
    page.keyboard.press("Enter")
    wait_for_prompt(page, "wordy-two")


def test_next_and_previous_go_through_what_is_listed(page):
    previous = page.get_by_role("button", name="Previous prompt")
    assert previous.is_disabled()
    for key, prompt in [("n", "third"), ("n", "wordy-two"), ("p", "third")]:
        page.keyboard.press(key)
        wait_for_prompt(page, prompt)
    page.get_by_role("button", name="Next prompt").click()
    wait_for_prompt(page, "wordy-two")
    page.get_by_role("searchbox").fill("walk")
    page.get_by_role("button", name="Next prompt").click()
    wait_for_prompt(page, "walk")
    assert previous.is_disabled() and page.get_by_role("button", name="Next prompt").is_disabled()


def test_the_list_unfolds_where_there_is_less_room(open_page, html):
    page = open_page(html, viewport={"width": 1000, "height": 800})
    assert page.locator("#list").is_hidden()
    page.get_by_role("button", name="Prompts").click()
    assert page.locator("#list").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#list").is_hidden()
    page.keyboard.press("/")
    page.keyboard.type("walk")
    page.keyboard.press("Enter")
    wait_for_prompt(page, "walk")
    assert page.locator("#list").is_hidden()


# Addresses ----------------------------------------------------------------------------------

PLAIN = {"prompt": FIRST, "decoder": "logit", "colour": "logit"}


def test_the_address_says_what_is_shown(page):
    assert address(page) == PLAIN
    choose_decoder(page, "tuned")
    assert address(page) == PLAIN | {"decoder": "tuned"}
    page.get_by_label("Colour").select_option("rank")
    page.get_by_role("switch", name="Half-depths").check()
    assert address(page) == {"prompt": FIRST, "decoder": "tuned", "colour": "rank", "half": "1"}
    choose_prompt(page, "walk")
    assert address(page) == {"prompt": "walk", "decoder": "tuned", "colour": "rank", "half": "1"}
    page.get_by_label("Corruption").locator("option").first.wait_for(state="attached")
    choose_prompt(page, "third")
    page.get_by_label("Corruption").select_option("0.1")
    assert address(page)["noise"] == "0.1"
    page.get_by_role("switch", name="Half-depths").uncheck()
    page.get_by_label("Corruption").select_option("3x")
    assert address(page) == {"prompt": "third", "decoder": "tuned", "colour": "rank"}


def test_moving_and_following_are_in_the_address_but_pointing_is_not(page, lenses):
    cell(page, 4, 2).hover()
    assert address(page) == PLAIN
    cell(page, 4, 2).click()
    token = of_prompt(lenses["logit"], FIRST)["top_id"].values[4, 2, 0]
    assert address(page) == PLAIN | {"position": "2", "depth": "2", "follow": f"2:{token}"}
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert address(page) == PLAIN | {"position": "3", "depth": "1"}


VIEWS = {
    "prompt": {"prompt": "wordy-two", "decoder": "logit", "colour": "logit"},
    "decoder": PLAIN | {"decoder": "tuned"},
    "colour": {"prompt": "walk", "decoder": "tuned", "colour": "kl_input"},
    "half": PLAIN | {"half": "1", "depth": "1.5", "position": "3"},
    "cell": {"prompt": "third", "decoder": "tuned", "colour": "rank", "position": "1", "depth": "0"},
    "noise": PLAIN | {"noise": "replaced"},
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_link_restores_its_view(open_page, html, lenses, name):
    view = VIEWS[name]
    page = open_page(html, "#" + "&".join(f"{key}={value}" for key, value in view.items()), **WIDE)
    assert address(page) == view
    lens = of_prompt(lenses[view["decoder"]], view["prompt"])
    assert texts(page) == top_guesses(lens, *([ALL_DEPTHS] if "half" in view else []))
    assert page.locator("#prompt").text_content() == view["prompt"]
    assert page.get_by_role("radio", checked=True).get_attribute("value") == view["decoder"]
    assert page.locator("#colouring").input_value() == view["colour"]
    assert page.locator("#noise").input_value() == view.get("noise", "3x")
    if view.get("depth") == "0":
        assert_detail(page, lens, 0, 1)
    if "half" in view:
        assert page.locator("#detail-title").text_content() == "Depth 1½, position 3"
    assert page.locator("#missing").is_hidden()
    assert page.locator("#list a[aria-current]").get_attribute("data-id") == view["prompt"]


def test_a_link_restores_what_is_followed(open_page, html, lenses):
    lens = of_prompt(lenses["tuned"], FIRST)
    token = lens["top_id"].values[2, 1, 0]
    page = open_page(html, f"#prompt=p%241%24&decoder=tuned&colour=logit&follow=1:{token}")
    assert ranks_drawn(page) == ranks_of(lens["rank_of_guess"].values[:, 1, 2])
    assert address(page) == PLAIN | {"decoder": "tuned", "follow": f"1:{token}"}


def test_back_and_forward_go_through_the_views(page, lenses):
    choose_decoder(page, "tuned")
    cell(page, 2, 2).click()
    choose_prompt(page, "walk")
    page.get_by_label("Colour").select_option("kl_final")
    assert address(page) == {"prompt": "walk", "decoder": "tuned", "colour": "kl_final"}
    page.go_back()
    assert page.locator("#colouring").input_value() == "logit" and address(page)["prompt"] == "walk"
    page.go_back()
    wait_for_prompt(page, FIRST)
    token = of_prompt(lenses["tuned"], FIRST)["top_id"].values[2, 2, 0]
    assert address(page) == PLAIN | {
        "decoder": "tuned",
        "position": "2",
        "depth": "1",
        "follow": f"2:{token}",
    }
    assert_detail(page, of_prompt(lenses["tuned"], FIRST), 2, 2)
    assert page.locator("#chart").is_visible()
    page.go_back()
    assert page.get_by_role("radio", checked=True).get_attribute("value") == "logit"
    assert texts(page) == top_guesses(of_prompt(lenses["logit"], FIRST))
    for _ in range(3):
        page.go_forward()
    wait_for_prompt(page, "walk")
    assert address(page) == {"prompt": "walk", "decoder": "tuned", "colour": "kl_final"}
    assert texts(page) == top_guesses(of_prompt(lenses["tuned"], "walk"))


def test_reloading_shows_the_same_view(page, lenses):
    choose_prompt(page, "third")
    choose_decoder(page, "tuned")
    before = address(page)
    page.reload()
    wait_for_prompt(page, "third")
    assert address(page) == before
    assert texts(page) == top_guesses(of_prompt(lenses["tuned"], "third"))


def test_links_of_the_list_lead_to_the_view_as_it_is_now(page, html):
    choose_decoder(page, "tuned")
    page.get_by_label("Colour").select_option("rank")
    href = page.locator('#list a[data-id="walk"]').get_attribute("href")
    assert href == "#prompt=walk&decoder=tuned&colour=rank"
    page.evaluate("location.hash = '#prompt=third&decoder=logit&colour=kl_input'")  # as typed by a reader
    wait_for_prompt(page, "third")
    assert page.locator("#colouring").input_value() == "kl_input"


@pytest.mark.parametrize(
    "fragment,said",
    [
        ("#prompt=nowhere", "no prompt “nowhere”"),
        ("#prompt=p%241%24&decoder=magic", "no decoder “magic”"),
        ("#colour=<b>x", "no colour “<b>x”"),
        ("#noise=9", "no noise “9”"),
    ],
)
def test_what_a_link_asks_for_in_vain_is_said(open_page, html, fragment, said):
    page = open_page(html, fragment)
    assert said in page.locator("#missing").text_content()
    assert page.locator("#prompt").text_content() == FIRST
    assert address(page) == PLAIN


@pytest.mark.parametrize(
    "fragment", ["#position=99&depth=x&follow=::", "#", "#&&=", "#follow=1:99999999", "#half=2"]
)
def test_senseless_links_show_the_first_view(open_page, html, lenses, fragment):
    page = open_page(html, fragment)
    assert texts(page) == top_guesses(of_prompt(lenses["logit"], FIRST))
    assert address(page) == PLAIN
    assert re.search(r"#prompt=p%241%24&decoder=logit&colour=logit$", page.url)


def test_the_last_of_many_prompts_wins(page):
    """However long each takes to unpack."""
    page.evaluate("""() => {
        const ids = ["third", "walk", "wordy-two", "walk"];
        for (const id of ids) document.querySelector(`[data-id="${id}"]`).click();
    }""")
    wait_for_prompt(page, "walk")
    page.wait_for_timeout(300)
    assert page.locator("#prompt").text_content() == "walk"
    assert address(page)["prompt"] == "walk"
    assert page.locator("#below th[data-t]").count() == TEXTS["walk"]["n_tokens"]
