"""One look for every figure: palette, sizes, and token strings that can be read."""

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import cycle

import matplotlib
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

FONT = "DejaVu Sans"  # comes with matplotlib: the same letters on every machine

# Okabe and Ito's colours, told apart under every common colour blindness.
CATEGORY_COLOURS = {
    "non_english": "#0072B2",
    "plain_english": "#E69F00",
    "semantic": "#009E73",
    "copying": "#CC79A7",
    "repetition": "#56B4E9",
    "invented": "#D55E00",
    "passages": "#555555",
}
SPARE_COLOURS = ("#000000", "#999999", "#F0E442")
SITE_COLOURS = {"subject": "#0072B2", "final": "#D55E00"}
SEQUENTIAL = "viridis"


def use_style() -> None:
    """Set seaborn's theme with this project's sizes."""
    matplotlib.use("agg")
    sns.set_theme(context="notebook", style="whitegrid", font=FONT, font_scale=0.9)
    matplotlib.rcParams.update({"figure.constrained_layout.use": True, "axes.titlesize": 11})


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in this style, size in inches, laid out so that nothing overlaps."""
    use_style()
    return Figure(figsize=(width, height), layout="constrained")


def category_colours(categories: Iterable[str]) -> dict[str, str]:
    """A colour for each category: the shipped ones have their own, others get spare ones in turn."""
    spare = cycle(SPARE_COLOURS)
    return {c: CATEGORY_COLOURS.get(c) or next(spare) for c in categories}


def readable(token: str, longest: int = 10) -> str:
    """A token as a vocabulary spells it, for a reader: space ``·``, newline ``↵``, tab ``→``.

    Byte-level tokens (GPT-2's) are turned back into text. Bytes that are no text by themselves,
    unprintable characters, and those the figures' font lacks are escaped (``\\xe2``, ``\\u56fd``);
    what is longer than ``longest`` ends in ``…``. Draw it with ``parse_math=False``.
    """
    text = "".join(_visible(c) for c in _plain_text(token))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _plain_text(token: str) -> str:
    if "▁" in token or re.fullmatch("<0x[0-9A-F]{2}>", token):  # SentencePiece
        token = re.sub("^<0x(..)>$", lambda byte: chr(int(byte[1], 16)), token)
        return token.replace("▁", " ")
    if token.endswith("</w>"):  # plain BPE with marked ends of words
        return token.removesuffix("</w>") + " "
    if all(c in _byte_alphabet() for c in token):
        return bytes(_byte_alphabet()[c] for c in token).decode(errors="backslashreplace")
    return token


def _visible(character: str) -> str:
    marks = {" ": "·", "\n": "↵", "\t": "→"}
    if character in marks:
        return marks[character]
    if character.isprintable() and ord(character) in _glyphs():
        return character
    return character.encode("unicode_escape").decode()


@lru_cache
def _byte_alphabet() -> dict[str, int]:
    """GPT-2's character for each byte: itself where it prints, else one from U+0100 on."""
    printing = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)}
    others = [byte for byte in range(256) if byte not in printing]
    return {chr(b): b for b in printing} | {chr(256 + i): b for i, b in enumerate(others)}


@lru_cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FONT)).get_charmap())
