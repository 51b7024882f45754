"""Saving figures: laid out once, written as PNG and as lines and letters, SVG or PDF."""

import re
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

from strata.figures.style import LINE_COLOURS

DPI = 125  # of the layout, and of the PNG where nothing else is asked for
MAX_WIDTH = 14  # inches: a PNG has no more pixels than a sheet of this width, more than a report shows
MARGIN = 0.1  # around all that is drawn, inches
PLACES = 9  # decimals of where panels are, as shares of the figure
N_COLOURS = 256  # a palette makes a third of the bytes, and the eye sees no difference
N_FREQUENT = 104  # of these are the most frequent colours: grounds, letters, grids
N_DRAWN = 96  # more are for colours that were drawn; the rest for blends at edges

CM = 72 / 2.54  # points in a centimetre

# The same bytes for the same figure; letters as outlines in an SVG, with their font in a PDF; no layout of
# its own for a saved figure.
SETTINGS = {
    "svg.hashsalt": "strata",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "figure.constrained_layout.use": False,
}
UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def save_figure(figure: Figure, png: str, drawing: str, width: float | None = None, dpi: float = DPI) -> None:
    """Save a figure as PNG and as SVG or PDF, the same bytes for the same figure.

    The layout is made once, for both; it does not change any more afterwards.

    Parameters
    ----------
    drawing : str
        Where the SVG or PDF goes; its suffix says which it is.
    width : float, optional
        Of a column, in centimetres: a drawing that is wider is scaled down to it, letters and all.
    dpi : float
        Pixels an inch of the PNG, fewer on a sheet wider than `MAX_WIDTH`, and of what is pixels within the
        other.
    """
    kind = Path(drawing).suffix[1:]
    with matplotlib.rc_context(SETTINGS):
        box = _lay_out(figure)
        Path(png).write_bytes(_png(figure, box, dpi))
        figure.savefig(drawing, format=kind, dpi=dpi, bbox_inches=box, metadata=UNDATED[kind])
    if width and width < 2.54 * box.width:
        {"svg": _narrow_svg, "pdf": _narrow_pdf}[kind](drawing, width * CM)


def _narrow_svg(path: str, points: float) -> None:
    """Scale to a width: the picture's own coordinates stay."""
    text = Path(path).read_text(encoding="utf-8")
    width, height = (
        float(re.search(rf'<svg [^>]*{side}="([\d.]+)pt"', text)[1]) for side in ("width", "height")
    )
    for side, now in (("width", points), ("height", height * points / width)):
        text = re.sub(rf'(<svg [^>]*{side}=")[\d.]+pt', rf"\g<1>{now:.6g}pt", text, count=1)
    Path(path).write_text(text, encoding="utf-8")


def _narrow_pdf(path: str, points: float) -> None:
    from pypdf import PdfReader, PdfWriter  # no other job waits for it

    writer = PdfWriter(clone_from=PdfReader(path))
    [page] = writer.pages
    page.scale_by(points / float(page.mediabox.width))
    writer.write(path)


def as_png(figure: Figure) -> bytes:
    """The PNG alone, for a page that holds it."""
    with matplotlib.rc_context(SETTINGS):
        return _png(figure, _lay_out(figure), DPI)


def _png(figure: Figure, box: Bbox, dpi: float) -> bytes:
    dpi *= min(1, MAX_WIDTH / box.width)
    pixels, png = BytesIO(), BytesIO()
    figure.savefig(pixels, format="png", dpi=dpi, bbox_inches=box, pil_kwargs={"compress_level": 0})
    few = _in_few_colours(Image.open(pixels).convert("RGB"))
    few.save(png, format="PNG", compress_level=8, dpi=(dpi, dpi))
    return png.getvalue()


def _in_few_colours(image: Image.Image) -> Image.Image:
    """The same with `N_COLOURS`, each replaced by one near it.

    The page, the colours that tell lines apart and the most frequent ones stay what they are. Then come those
    that are furthest from all before, however few pixels have them, so that a colour bar has its colours from
    end to end: first of the colours that were drawn, then of the blends at edges.
    """
    shift = np.array([16, 8, 0])
    packed = np.asarray(image.convert("RGBA")).view(">u4")[..., 0].astype(int) >> 8
    named = [int(to_hex(colour)[1:], 16) for colour in ("white", *LINE_COLOURS)]
    place, found = pd.factorize(packed.ravel(), sort=True)  # np.unique sorts every pixel: ten times slower
    counts = np.bincount(place)
    kept = np.unique([*named, *found[np.argsort(-counts, kind="stable")[:N_FREQUENT]]])
    colours, palette = found[:, None] >> shift & 255, kept[:, None] >> shift & 255
    drawn = np.bincount(place[_even(packed).ravel()], minlength=len(found)) > 0
    for some, n in ((colours[drawn], N_DRAWN), (colours, N_COLOURS - len(kept) - N_DRAWN)):
        palette = np.concatenate([palette, _furthest(some, palette, n)])
    nearest, _ = _nearest(colours, palette)
    result = Image.fromarray(nearest[place].reshape(packed.shape))
    result.putpalette(palette.astype(np.uint8).tobytes())
    return result


def _even(packed: np.ndarray) -> np.ndarray:
    """Where a pixel (row, column) is as the two beside it, or as those above and below it."""
    even = np.zeros(packed.shape, bool)
    for pixels, result in ((packed, even), (packed.T, even.T)):
        same = pixels[:, 1:] == pixels[:, :-1]
        result[:, 1:-1] |= same[:, 1:] & same[:, :-1]
    return even


def _nearest(colours: np.ndarray, palette: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of each colour's nearest in a palette, and how far that is, squared."""
    number, least = np.zeros(len(colours), np.uint8), np.full(len(colours), np.inf)
    for index, own in enumerate(palette):  # one by one: there may be very many colours
        distance = ((colours - own) ** 2).sum(1)
        nearer = distance < least
        number[nearer], least[nearer] = index, distance[nearer]
    return number, least


def _furthest(colours: np.ndarray, palette: np.ndarray, n: int) -> np.ndarray:
    """Up to ``n`` of ``colours``, each furthest from a palette and from those before (Gonzalez 1985)."""
    _, distance = _nearest(colours, palette)
    chosen = []
    while len(chosen) < n and distance.max(initial=0) > 0:
        chosen.append(colours[distance.argmax()])
        distance = np.minimum(distance, ((colours - chosen[-1]) ** 2).sum(1))
    return np.reshape(chosen, (-1, 3)).astype(int)


def _lay_out(figure: Figure) -> Bbox:
    """Put everything in its place for good; what is drawn, with a margin, in inches."""
    figure.set_dpi(DPI)
    renderer = FigureCanvasAgg(figure).get_renderer()
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)
    _round_places(figure)
    return figure.get_tightbbox(renderer).padded(MARGIN)


def _round_places(figure: Figure) -> None:
    """The solver's last digits differ from run to run, and names in an SVG come of them."""
    for axes in figure.axes:
        place = axes.get_position(original=True).get_points()
        axes.set_position(Bbox(np.round(place, PLACES)), which="original")
    for part in figure.subfigs:
        part.bbox_relative.set_points(np.round(part.bbox_relative.get_points(), PLACES))
