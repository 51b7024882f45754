"""Saving figures: laid out once, written as PNG and as SVG."""

from io import BytesIO

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

from strata.figures.style import LINE_COLOURS

DPI = 125  # of the PNG, and of what is pixels within the SVG; less on sheets wider than the next allows
MAX_PIXELS = 1750  # of the PNG's width: more than a report shows
MARGIN = 0.1  # around all that is drawn, inches
N_COLOURS = 256  # a palette makes a third of the bytes, and the eye sees no difference

# The same bytes for the same figure, letters as text; and no layout of its own for a saved figure.
SETTINGS = {"svg.hashsalt": "strata", "svg.fonttype": "none", "figure.constrained_layout.use": False}


def save_figure(figure: Figure, png: str, svg: str) -> None:
    """Save a figure as PNG and SVG, the same bytes for the same figure.

    The layout is made once, for both; it does not change any more afterwards.
    """
    with matplotlib.rc_context(SETTINGS):
        box = _lay_out(figure)
        dpi = min(DPI, MAX_PIXELS / box.width)
        pixels = BytesIO()
        figure.savefig(pixels, format="png", dpi=dpi, bbox_inches=box, pil_kwargs={"compress_level": 0})
        few = _in_few_colours(Image.open(pixels).convert("RGB"))
        few.save(png, format="PNG", compress_level=6, dpi=(dpi, dpi))
        figure.savefig(svg, format="svg", dpi=DPI, bbox_inches=box, metadata={"Date": None})


def _in_few_colours(image: Image.Image) -> Image.Image:
    """The same with `N_COLOURS`; the page and the colours that tell lines apart stay what they are."""
    kept = [bytes(round(255 * part) for part in to_rgb(colour)) for colour in ("white", *LINE_COLOURS)]
    others = N_COLOURS - len(kept)
    few = image.quantize(others, method=Image.Quantize.MEDIANCUT)
    index, pixels = np.array(few), np.asarray(image.convert("RGBA")).view("<u4")[..., 0]
    for number, colour in enumerate(kept, others):
        index[pixels == int.from_bytes(colour + b"\xff", "little")] = number
    result = Image.fromarray(index)
    result.putpalette(bytes(few.getpalette()[: 3 * others]).ljust(3 * others, b"\0") + b"".join(kept))
    return result


def _lay_out(figure: Figure) -> Bbox:
    """Put everything in its place for good; what is drawn, with a margin, in inches."""
    figure.set_dpi(DPI)
    renderer = FigureCanvasAgg(figure).get_renderer()
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)
    return figure.get_tightbbox(renderer).padded(MARGIN)
