import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

from oracles.lens_example import VOCABULARY, make_lens
from strata.figures.lens_page import DECODERS, build_page
from strata.figures.style import readable

EVIL = "</title></script><script>alert(1)</script><!--"


class Elements(HTMLParser):
    """Every element's tag, attributes and the text before its first end tag, in order."""

    def __init__(self, html):
        super().__init__()
        self.found, self.inside = [], False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes), []))
        self.inside = True

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.found[-1][2].append(data)

    def of(self, tag):
        return [(attributes, "".join(text)) for name, attributes, text in self.found if name == tag]


def header_of(html):
    packed = next(text for attributes, text in Elements(html).of("script") if attributes.get("id") == "data")
    return json.loads(gzip.decompress(base64.b64decode(packed, validate=True)).split(b"\n")[0])


def respell(lens, strings):
    """The same lens of another vocabulary."""
    names = {"token_str": lens["token_id"].values, "target_str": lens["target_id"].values}
    spelled = np.array(strings, dtype=object)
    return lens.assign(top_str=(lens["top_str"].dims, spelled[lens["top_id"].values])).assign_coords(
        {name: ("token", np.where(ids < 0, "", spelled[ids])) for name, ids in names.items()}
    )


def test_page_names_no_other_file():
    html = build_page({"logit": make_lens()})
    for tag, attributes, _ in Elements(html).found:
        assert not {"src", "href", "srcset", "action", "data", "poster", "background"} & set(attributes), tag
        assert tag not in ("link", "base", "iframe", "object", "embed", "img")
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|WebSocket|\bimport\b", html)
    svg = "http://www.w3.org/2000/svg"  # a name, which nothing loads
    assert "://" not in html.replace(svg, "")


def test_policy_allows_this_script_and_style_and_nothing_else():
    elements = Elements(build_page({"logit": make_lens()}))
    policy = next(
        a["content"] for a, _ in elements.of("meta") if a.get("http-equiv") == "Content-Security-Policy"
    )
    allowed = dict(part.split(" ", 1) for part in policy.split("; "))

    def known(source):
        return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"

    scripts = [text for attributes, text in elements.of("script") if attributes.get("id") != "data"]
    styles = [text for _, text in elements.of("style")]
    assert (len(scripts), len(styles)) == (1, 1)
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
    plain = Elements(build_page({"logit": make_lens(prompt="p", category="c")}))
    lens = make_lens(prompt=EVIL, category=EVIL)
    evil = build_page({"logit": respell(lens, [EVIL + str(i) for i in range(len(VOCABULARY))])})
    assert [tag for tag, _, _ in Elements(evil).found] == [tag for tag, _, _ in plain.found]
    assert Elements(evil).of("title")[0][1] == f"{EVIL} · lens"
    assert evil.count("</script>") == 2 and "<!--" not in evil


def test_strings_are_whole_and_readable():
    lens = make_lens(top_k=12)
    header = header_of(build_page({"logit": lens}))
    assert sorted(header["strings"]) == sorted(readable(token, 99) for token in VOCABULARY)
    assert "·communications" in header["strings"]
    shown = dict(zip(header["ids"], header["strings"], strict=True))
    assert shown == {i: readable(token, 99) for i, token in enumerate(VOCABULARY)}
    for entry, own in zip(header["input"], lens["token_id"].values, strict=True):
        assert header["ids"][entry] == own
    for entry, target in zip(header["target"], lens["target_id"].values, strict=True):
        assert (header["ids"][entry] if entry >= 0 else -1) == target


def test_text_is_what_the_tokens_spell():
    strings = ["ĠcafÃ", "©", "ĊĠĠ", "Ā", "âĢ", "ª", "ĠåĽ½", "<b>", "ĉ", "a", "b", "c"]
    lens = make_lens(n_tokens=9)
    lens = lens.assign_coords(token_id=("token", np.arange(9)))
    html = build_page({"logit": respell(lens, strings)})
    text = re.search(r'<p class="text"><bdi>(.*?)</bdi></p>', html, re.S)[1]
    # Bytes of one letter lie in two tokens; a NUL, a tab and a mark of direction (U+202A) are not seen.
    assert text == " café\n  \\x00\\u202a 国&lt;b&gt;\\t"


def test_text_of_other_vocabularies():
    strings = ["def", "   ", "ĠcafÃ", "©", "▁école", "<0x0A>", *"abcdef"]  # Pythia's spaces, SentencePiece
    lens = make_lens(n_tokens=6).assign_coords(token_id=("token", np.arange(6)))
    html = build_page({"logit": respell(lens, strings)})
    assert re.search(r'<p class="text"><bdi>(.*?)</bdi></p>', html, re.S)[1] == "def    café école\n"


def test_decoders_and_norms_are_named():
    lens = make_lens()
    lenses = {name: lens.assign_attrs(decoder=name, norm="plain") for name in ("tuned", "logit")}
    html = build_page(lenses)
    radios = [a["value"] for a, _ in Elements(html).of("input") if a.get("type") == "radio"]
    assert radios == ["tuned", "logit"]
    for decoder in header_of(html)["decoders"]:
        assert decoder["what"] == DECODERS[decoder["name"]]
        assert decoder["norm"] == "normalised without gain and bias"


def test_logits_are_coloured_on_one_scale_from_depth_1_on():
    lens = make_lens()
    other = lens.assign(top_logit=lens["top_logit"] + 5)
    other["top_logit"][:2] += 1000  # depths 0 and ½
    scale = header_of(build_page({"logit": lens, "tuned": other}))["colourings"]["logit"]
    top = lens["top_logit"].values[2:, :, 0]
    assert (scale["low"], scale["high"]) == pytest.approx((top.min(), top.max() + 5))
    assert all(scale["low"] <= tick <= scale["high"] for tick in scale["ticks"]) and len(scale["ticks"]) > 2


def test_the_same_lenses_give_the_same_page(monkeypatch):
    pages = []
    for now in (0.0, 1e9):
        monkeypatch.setattr("gzip.time.time", lambda now=now: now)
        pages.append(build_page({"logit": make_lens()}))
    assert pages[0] == pages[1]


def test_page_is_small(monkeypatch):
    """Of 25 depths, 30 tokens, the top 10, and what one decoder says of them."""
    vocabulary = np.array([f"Ġtoken{i}" for i in range(300)], dtype=object)
    monkeypatch.setattr("oracles.lens_example.VOCABULARY", vocabulary)
    size = len(build_page({"logit": make_lens(12, 30, top_k=10)}))
    assert size < 70_000


def test_page_refuses_what_it_cannot_show():
    lens = make_lens()
    with pytest.raises(ValueError, match="one decoder at least"):
        build_page({})
    with pytest.raises(ValueError, match="not magic"):
        build_page({"logit": lens, "magic": lens})
    with pytest.raises(ValueError, match="one prompt, not 2"):
        build_page({"logit": xr.concat([lens, make_lens(prompt="q")], "token")})
    same = "not of the same tokens and depths"
    with pytest.raises(ValueError, match=same):
        build_page({"logit": lens, "tuned": make_lens(seed=1)})
    with pytest.raises(ValueError, match=same):
        build_page(
            {"logit": lens, "tuned": lens.isel(depth=slice(None, None, 2), guess=slice(None, None, 2))}
        )
    with pytest.raises(ValueError, match=same):
        build_page({"logit": lens, "tuned": lens.isel(token=slice(1, None))})
