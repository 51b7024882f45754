"""One look for every figure: palette, sizes, and token strings that can be read."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import cycle

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.legend import Legend
from matplotlib.textpath import text_to_path

from strata.names import ALL
from strata.text.tokens import plain_text

FONT = "DejaVu Sans"  # comes with matplotlib: the same letters on every machine

# Okabe and Ito's colours, distinct under every common colour blindness.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
SHIPPED = ("non_english", "plain_english", "semantic", "copying", "repetition", "invented")
CATEGORY_COLOURS = dict(zip(SHIPPED, PALETTE, strict=True)) | {"passages": "#555555", ALL: "#000000"}
SPARE_COLOURS = (*PALETTE, "#882255", "#999999", "#F0E442")
SITE_COLOURS = {"subject": "#0072B2", "final": "#D55E00"}
DECODER_COLOURS = {"logit": "#000000", "extended": "#D55E00", "tuned": "#0072B2", "jacobian": "#009E73"}
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v")
SEQUENTIAL = "viridis"
DIVERGING = "RdBu_r"
ASIDE_COLOUR = "#777777"  # baselines, and labels of lesser things
NO_VALUE_COLOUR = "#BBBBBB"


def use_style() -> None:
    """Set seaborn's theme with this project's sizes."""
    import seaborn as sns  # takes longer than all else here, and the page of the explorer needs no theme

    sns.set_theme(context="notebook", style="whitegrid", font=FONT, font_scale=0.9)
    matplotlib.rcParams.update({"figure.constrained_layout.use": True, "axes.titlesize": 11})


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in this style, size in inches, laid out so that nothing overlaps."""
    use_style()
    return Figure(figsize=(width, height), layout="constrained")


def new_notice(told: str) -> Figure:
    """A line in the place of a figure that there is nothing for."""
    figure = new_figure(7, 1.2)
    figure.set_layout_engine("none")  # there are no axes to lay out
    figure.text(0.5, 0.5, told, ha="center", va="center", parse_math=False)
    return figure


def as_written(legend: Legend) -> None:
    """Leave names in a legend as they are: what a user has named may hold a dollar sign."""
    for text in legend.get_texts():
        text.set_parse_math(False)


def notice_of_rejection(prompt: str) -> Figure:
    """What stands in the place of a figure of a prompt that the model does not complete."""
    return new_notice(f"{prompt}: not accepted on this model, see prompts.tsv for the reason.")


def category_colours(categories: Iterable[str]) -> dict[str, str]:
    """A colour for each category: the shipped ones have their own, others get in turn what those leave."""
    categories = list(categories)
    taken = {CATEGORY_COLOURS.get(c) for c in categories}
    spare = cycle([colour for colour in SPARE_COLOURS if colour not in taken])
    return {c: CATEGORY_COLOURS.get(c) or next(spare) for c in categories}


def line_looks(names: Iterable[str], own: Mapping[str, str] | None = None) -> dict[str, dict[str, str]]:
    """Colour, line style and marker of each line, so that no two of 28 look alike even in grey.

    Names in ``own`` have their colour there, and their look whichever others are drawn.
    """
    own, names = own or {}, list(names)
    spare = cycle(colour for colour in LINE_COLOURS if colour not in own.values())
    colours = {**own, **{name: next(spare) for name in names if name not in own}}
    looks = zip(colours.items(), cycle(DASHES), cycle(MARKERS), strict=False)
    each = {name: {"color": c, "linestyle": dash, "marker": mark} for (name, c), dash, mark in looks}
    return {name: each[name] for name in names}


def ink_on(colour: tuple[float, ...] | str) -> str:
    """Black or white, whichever stands out more on a colour (relative luminance of WCAG 2.1)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return "black" if np.dot(linear, (0.2126, 0.7152, 0.0722)) > 0.179 else "white"


def fitted(token: str, width: float, size: float) -> str:
    """`readable`, cut to be no wider than ``width`` points where it is drawn at ``size`` points."""
    longest = next((n for n in range(12, 1, -1) if _width(readable(token, n), size) <= width), 1)
    return readable(token, longest)


@lru_cache(maxsize=4096)
def _width(text: str, size: float) -> float:
    font = FontProperties(family=FONT, size=size)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]


def readable(token: str, longest: int = 10) -> str:
    """A token as a vocabulary spells it, for a reader: space ``·``, newline ``↵``, tab ``→``.

    Byte-level tokens (GPT-2's) are turned back into text. Bytes that are no text by themselves,
    unprintable characters, and those the figures' font lacks are escaped (``\\xe2``, ``\\u56fd``);
    what is longer than ``longest`` ends in ``…``. Draw it with ``parse_math=False``.
    """
    text = "".join(_visible(c) for c in plain_text(token))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _visible(character: str) -> str:
    marks = {" ": "·", "\n": "↵", "\t": "→"}
    if character in marks:
        return marks[character]
    if character.isprintable() and ord(character) in _glyphs():
        return character
    return character.encode("unicode_escape").decode()


@lru_cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FONT)).get_charmap())
