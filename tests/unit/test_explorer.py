import base64
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from oracles.explorer import Elements, read_page
from oracles.explorer_example import TEXTS, join, make_lenses, make_trace, of_prompt, respell
from oracles.lens_example import VOCABULARY, make_lens
from strata.figures.explorer import DECODERS, build_explorer
from strata.figures.lens import COLOURINGS
from strata.figures.style import readable

EVIL = "</title></script><script>alert(1)</script><!--"
LOADS = r"url\(|@import|fetch\(|XMLHttpRequest|WebSocket|\bimport\b|sendBeacon|\beval\b"
SOURCES = Path(__file__).parents[2] / "workflow/scripts/strata/figures"


@pytest.fixture(scope="module")
def lenses():
    return make_lenses()


def index_of(html):
    return {prompt["id"]: prompt for prompt in read_page(html)[0]["prompts"]}


def text_of(html):
    return next(iter(index_of(html).values()))["text"]


# Self-contained and harmless ----------------------------------------------------------------


def test_page_names_no_other_file(lenses):
    html = build_explorer(lenses, make_trace(lenses["logit"]), model="tiny")
    for tag, attributes, _ in Elements(html).found:
        assert not {"src", "href", "srcset", "action", "data", "poster", "background"} & set(attributes), tag
        assert tag not in ("link", "base", "iframe", "object", "embed", "img")
    assert not re.search(
        r"url\(|@import|fetch\(|XMLHttpRequest|WebSocket|\bimport\b|sendBeacon|\beval\b", html
    )
    svg = "http://www.w3.org/2000/svg"  # a name, which nothing loads
    assert "://" not in html.replace(svg, "")


def test_policy_allows_this_script_and_style_and_nothing_else(lenses):
    elements = Elements(build_explorer(lenses))
    policy = next(
        a["content"] for a, _ in elements.of("meta") if a.get("http-equiv") == "Content-Security-Policy"
    )
    allowed = dict(part.split(" ", 1) for part in policy.split("; "))

    def known(source):
        return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"

    scripts = [text for attributes, text in elements.of("script") if "type" not in attributes]
    data = [attributes for attributes, _ in elements.of("script") if attributes.get("type") == "text/plain"]
    styles = [text for _, text in elements.of("style")]
    assert (len(scripts), len(styles), len(data)) == (1, 1, 1 + len(TEXTS))
    assert allowed == {
        "default-src": "'none'",
        "script-src": known(scripts[0]),
        "style-src": known(styles[0]),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    inline = [
        a for _, attributes, _ in elements.found for a in attributes if a == "style" or a.startswith("on")
    ]
    assert inline == []


def test_no_text_becomes_markup():
    """The same elements stand in the page, whatever the texts."""
    plain = Elements(build_explorer({"logit": make_lens(prompt="p", category="c")}, model="m"))
    lens = make_lens(prompt=EVIL, category=EVIL)
    evil = build_explorer(
        {"logit": respell(lens, [EVIL + str(i) for i in range(len(VOCABULARY))])}, model=EVIL
    )
    assert [tag for tag, _, _ in Elements(evil).found] == [tag for tag, _, _ in plain.found]
    assert Elements(evil).of("title")[0][1] == f"{EVIL} lens"
    assert evil.count("</script>") == 3 and "<!--" not in evil


def test_the_same_lenses_give_the_same_page(monkeypatch, lenses):
    pages = []
    for now in (0.0, 1e9):
        monkeypatch.setattr("time.time", lambda now=now: now)
        pages.append(build_explorer(lenses, make_trace(lenses["logit"]), model="tiny"))
    assert pages[0] == pages[1]


def test_no_source_is_long():
    sources = sorted(SOURCES.glob("explorer*"))
    assert {path.suffix for path in sources} == {".py", ".js", ".css", ".j2"}
    assert all(len(path.read_text().splitlines()) <= 400 for path in sources)


# What is in the page ------------------------------------------------------------------------


def test_strings_are_whole_and_readable(lenses):
    lens = lenses["logit"]
    header, prompts = read_page(build_explorer({"logit": lens}))
    shown = dict(zip(header["ids"], header["strings"], strict=True))
    assert shown == {i: readable(token, 99) for i, token in enumerate(VOCABULARY)}
    assert "·communications" in header["strings"]
    for prompt, (own, _) in prompts.items():
        exact = of_prompt(lens, prompt)
        assert [header["ids"][entry] for entry in own["input"]] == exact["token_id"].values.tolist()
        targets = [header["ids"][entry] if entry >= 0 else -1 for entry in own["target"]]
        assert targets == exact["target_id"].values.tolist()
        assert own["positions"] == exact["position"].values.tolist()


def test_prompts_are_found_by_id_category_text_and_target(lenses):
    html = build_explorer(lenses, model="tiny")
    header, _ = read_page(html)
    assert [prompt["id"] for prompt in header["prompts"]] == list(TEXTS)
    assert [prompt["category"] for prompt in header["prompts"]] == [t["category"] for t in TEXTS.values()]
    assert header["categories"] == {
        "semantic": "semantic",
        "plain_english": "plain english",
        "passages": "passages",
    }
    index = index_of(html)
    assert index["p$1$"]["target"] == "·cat" and index["walk"]["target"] == ""
    assert header["model"] == "tiny" and Elements(html).of("title")[0][1] == "tiny lens"


def test_only_the_prompts_asked_for_are_in_the_page(lenses):
    assert list(index_of(build_explorer(lenses, prompts=["third", "wordy-two"]))) == ["wordy-two", "third"]
    assert build_explorer(lenses, prompts=list(TEXTS)) == build_explorer(lenses)


def test_text_is_what_the_tokens_spell():
    strings = ["ĠcafÃ", "©", "ĊĠĠ", "Ā", "âĢ", "ª", "ĠåĽ½", "<b>", "ĉ", "a", "b", "c"]
    lens = make_lens(n_tokens=9).assign_coords(token_id=("token", np.arange(9)))
    # Bytes of one letter lie in two tokens; a NUL, a tab and a mark of direction (U+202A) are not seen.
    assert text_of(build_explorer({"logit": respell(lens, strings)})) == " café\n  \\x00\\u202a 国<b>\\t"


def test_text_of_other_vocabularies():
    strings = ["def", "   ", "ĠcafÃ", "©", "▁école", "<0x0A>", *"abcdef"]  # Pythia's spaces, SentencePiece
    lens = make_lens(n_tokens=6).assign_coords(token_id=("token", np.arange(6)))
    assert text_of(build_explorer({"logit": respell(lens, strings)})) == "def    café école\n"


def test_decoders_and_norms_are_named():
    lens = make_lens()
    lenses = {name: lens.assign_attrs(decoder=name, norm="plain") for name in ("tuned", "logit")}
    html = build_explorer(lenses)
    radios = [a["value"] for a, _ in Elements(html).of("input") if a.get("type") == "radio"]
    assert radios == ["tuned", "logit"]
    for decoder in read_page(html)[0]["decoders"]:
        assert decoder["what"] == DECODERS[decoder["name"]]
        assert decoder["norm"] == "normalised without gain and bias"


def test_logits_of_a_text_are_coloured_on_one_scale_from_depth_1_on(lenses):
    lens = lenses["logit"]
    other = lens.assign(top_logit=lens["top_logit"] + 5)
    other["top_logit"][:2] += 1000  # depths 0 and ½
    header, prompts = read_page(build_explorer({"logit": lens, "tuned": other}))
    assert "low" not in header["colourings"]["logit"]
    for prompt, (own, _) in prompts.items():
        scale = own["scales"]["logit"]
        top = of_prompt(lens, prompt)["top_logit"].values[2:, :, 0]
        assert (scale["low"], scale["high"]) == pytest.approx((top.min(), top.max() + 5))
        assert (
            all(scale["low"] <= tick <= scale["high"] for tick in scale["ticks"]) and len(scale["ticks"]) > 2
        )


def test_the_page_knows_every_colouring():
    known = re.search(r"const VALUES = \{(.*?)\n\};", (SOURCES / "explorer_grid.js").read_text(), re.S)[1]
    assert re.findall(r"^  (\w+):", known, re.M) == list(COLOURINGS)


def test_page_is_small(monkeypatch):
    """Of 25 depths, 30 tokens, the top 10, and what one decoder says of them."""
    vocabulary = np.array([f"Ġtoken{i}" for i in range(300)], dtype=object)
    monkeypatch.setattr("oracles.lens_example.VOCABULARY", vocabulary)
    size = len(build_explorer({"logit": make_lens(12, 30, top_k=10)}))
    assert size < 90_000  # of which 50,000 are the page without data


def test_page_refuses_what_it_cannot_show(lenses):
    lens = make_lens()
    with pytest.raises(ValueError, match="one decoder at least"):
        build_explorer({})
    with pytest.raises(ValueError, match="one prompt at least"):
        build_explorer(lenses, prompts=[])
    with pytest.raises(ValueError, match="no prompt fourth"):
        build_explorer(lenses, prompts=["third", "fourth"])
    same = "not of the same tokens and depths"
    with pytest.raises(ValueError, match=same):
        build_explorer({"logit": lens, "tuned": make_lens(seed=1)})
    with pytest.raises(ValueError, match=same):
        build_explorer({"logit": lens, "tuned": lens.isel(depth=slice(2, None))})
    with pytest.raises(ValueError, match=same):
        build_explorer({"logit": lens, "tuned": lens.isel(token=slice(1, None))})
    with pytest.raises(ValueError, match="prompt again stands in two places"):
        build_explorer({"logit": join([make_lens(prompt="again"), lens, make_lens(prompt="again")])})
