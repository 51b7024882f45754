import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from transformers.convert_slow_tokenizer import bytes_to_unicode

from oracles.contrast import contrast
from oracles.lens_example import WIDE_TOKENS
from strata.figures.style import (
    CATEGORY_COLOURS,
    DECODER_COLOURS,
    FONT,
    category_colours,
    fitted,
    ink_on,
    line_looks,
    readable,
)


@pytest.mark.parametrize(
    "token,text",
    [
        ("ĠParis", "·Paris"),
        ("ĊĊ", "↵↵"),
        ("ĉ", "→"),
        ("č", "\\r"),
        ("ĠĠĠ", "···"),
        ("Ġcafé", "·caf\\xe9"),  # the byte E9 alone is no text
        ("ĠcafÃ©", "·café"),
        ("ÃŁ", "ß"),
        ("âĢĻ", "’"),
        ("âĢ", "\\xe2\\x80"),
        ("Ā", "\\x00"),
        ("Â\u0143", "\\xad"),  # a soft hyphen is not seen
        ("ĠåĽ½", "·\\u56fd"),  # a letter the font lacks
        ("$x^2$", "$x^2$"),
        ("<b>&", "<b>&"),
        ("<|endoftext|>", "<|endofte…"),
        ("Ġcommunications", "·communic…"),
        ("▁Paris", "·Paris"),
        ("▁école", "·école"),
        ("<0x0A>", "↵"),
        ("word</w>", "word·"),
        ("", ""),
    ],
)
def test_tokens_are_readable(token, text):
    assert readable(token) == text
    assert len(readable(token, 4)) <= 4


def test_every_byte_is_told_apart_and_visible():
    alphabet = bytes_to_unicode()
    shown = {byte: readable(character) for byte, character in alphabet.items()}
    assert len(set(shown.values())) == 256
    assert all(text.isprintable() and not text.isspace() for text in shown.values())
    assert {byte: shown[byte] for byte in range(33, 127)} == {byte: chr(byte) for byte in range(33, 127)}


def test_a_category_keeps_its_colour():
    assert category_colours(["other", "semantic"])["semantic"] == CATEGORY_COLOURS["semantic"]
    assert category_colours(["all", "other"])["all"] == CATEGORY_COLOURS["all"]


def test_other_categories_have_colours_of_their_own():
    shipped = [c for c in CATEGORY_COLOURS if c not in ("copying", "repetition")]
    for categories in (["x", *shipped, "y", "z"], [f"c{i}" for i in range(9)], ["all", "passages", "x"]):
        assert len(set(category_colours(categories).values())) == len(categories)


def test_ink_stands_out_on_every_colour_of_the_maps():
    assert (ink_on("yellow"), ink_on("navy")) == ("black", "white")
    for name in ("viridis", "cividis"):
        for colour in matplotlib.colormaps[name](np.linspace(0, 1, 101)):
            assert contrast(ink_on(colour), colour) >= 4.5
            assert contrast(ink_on(colour), colour) == max(contrast(i, colour) for i in ("black", "white"))


@pytest.mark.parametrize("token", [*WIDE_TOKENS, "iiiiiiiiiiiiiiiiii", "Ġa"])
def test_a_fitted_token_is_as_long_as_its_room(token):
    figure = matplotlib.figure.Figure(dpi=72)
    canvas = FigureCanvasAgg(figure)

    def width(text):
        drawn = figure.text(0, 0, text, fontsize=20, fontfamily=FONT, parse_math=False)
        return drawn.get_window_extent(canvas.get_renderer()).width

    room = 110
    text = fitted(token, room, 20)
    assert width(text) <= room + 2
    longer = readable(token, len(text) + 1)
    assert text == readable(token) or width(longer) > room - 2 or len(text) == 12


def test_no_two_lines_look_alike_and_a_decoder_keeps_its_look():
    looks = line_looks([f"model {i}" for i in range(28)])
    assert len({tuple(look.items()) for look in looks.values()}) == 28
    all_of_them = line_looks(DECODER_COLOURS, DECODER_COLOURS)
    assert {name: look["color"] for name, look in all_of_them.items()} == DECODER_COLOURS
    assert len({look["linestyle"] for look in all_of_them.values()}) == len(DECODER_COLOURS)
    assert line_looks(["new", "tuned"], DECODER_COLOURS)["tuned"] == all_of_them["tuned"]
    assert line_looks(["new"], DECODER_COLOURS)["new"]["color"] not in DECODER_COLOURS.values()
