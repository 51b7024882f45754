"""One look for every figure: palette, sizes, and token strings that can be read."""

import matplotlib
import seaborn as sns
from matplotlib.figure import Figure

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
SPARE_COLOURS = ("#000000", "#F0E442", "#999999")
SITE_COLOURS = {"subject": "#0072B2", "final": "#D55E00"}
SEQUENTIAL = "viridis"

_MARKS = {"Ġ": "·", "Ċ": "↵", "ĉ": "→", "č": "↵", "▁": "·", "</w>": "·"}


def use_style() -> None:
    """Set seaborn's theme with this project's sizes."""
    matplotlib.use("agg")
    sns.set_theme(context="notebook", style="whitegrid", font_scale=0.9)
    matplotlib.rcParams.update({"figure.constrained_layout.use": True, "axes.titlesize": 11})


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in this style, size in inches, laid out so that nothing overlaps."""
    use_style()
    return Figure(figsize=(width, height), layout="constrained")


def category_colours(categories) -> dict[str, str]:
    """A colour for each category; the same category has the same colour in every figure."""
    spare = iter(SPARE_COLOURS * len(categories))
    return {c: CATEGORY_COLOURS.get(c) or next(spare) for c in categories}


def readable(token: str, longest: int = 10) -> str:
    """A token's byte-level form for an axis: space ``·``, newline ``↵``, long tokens shortened.

    Bytes that are no printable character keep their byte-level stand-in, which is one.
    """
    for mark, shown in _MARKS.items():
        token = token.replace(mark, shown)
    token = "".join(c if c.isprintable() else "?" for c in token)
    return token if len(token) <= longest else token[: longest - 1] + "…"
