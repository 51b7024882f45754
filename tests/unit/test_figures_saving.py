import re
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox
from PIL import Image
from pypdf import PdfReader

from strata.figures.saving import DPI, MAX_WIDTH, save_figure
from strata.figures.style import LINE_COLOURS, new_figure


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "a.png", tmp_path / "a.svg"


def make_figure():
    figure = new_figure(5, 4)
    panels = figure.subplots(2, 2)
    image = panels[0, 0].imshow(np.arange(9).reshape(3, 3))
    figure.colorbar(image, ax=panels, label="value")
    panels[1, 1].plot([0, 1, 4], label="$p$")
    figure.legend(loc="outside upper center")
    figure.supxlabel("below")
    return figure


def test_a_figure_is_the_same_bytes_twice(tmp_path):
    def save(name):
        figure, axes = plt.subplots()
        axes.plot([0, 1, 4], label="$p$")
        axes.legend()
        save_figure(figure, tmp_path / f"{name}.png", tmp_path / f"{name}.svg")
        save_figure(figure, tmp_path / f"{name}.png", tmp_path / f"{name}.pdf", 5)
        plt.close(figure)
        return [(tmp_path / f"{name}.{kind}").read_bytes() for kind in ("png", "svg", "pdf")]

    assert save("once") == save("again")


def test_two_formats_come_of_one_layout(paths, monkeypatch):
    counts = {"layout": 0, "draw": 0}

    def counting(name, method):
        def wrapped(*arguments, **options):
            counts[name] += 1
            return method(*arguments, **options)

        return wrapped

    monkeypatch.setattr(
        ConstrainedLayoutEngine, "execute", counting("layout", ConstrainedLayoutEngine.execute)
    )
    monkeypatch.setattr(Figure, "draw", counting("draw", Figure.draw))
    save_figure(make_figure(), *paths)
    assert counts == {"layout": 1, "draw": 2}


def test_both_formats_have_the_same_place(paths):
    figure = make_figure()
    # What sticks out of the figure is on the sheet all the same.
    figure.text(3.5, 0.5, "far out")
    save_figure(figure, *paths)
    pixels, dpi = np.array(Image.open(paths[0]).size), Image.open(paths[0]).info["dpi"]
    text = paths[1].read_text()
    points = np.array(
        [float(re.search(rf'<svg [^>]*{side}="([\d.]+)pt"', text)[1]) for side in ("width", "height")]
    )
    # A PNG has whole pixels at either edge.
    np.testing.assert_allclose(pixels, points / 72 * dpi, atol=2)
    assert points[0] / 72 > 3.5 * 5
    assert pixels[0] <= MAX_WIDTH * DPI and dpi[0] < DPI, "a wide sheet has fewer pixels an inch"
    assert "<!-- below -->" in text and "<!-- far out -->" in text
    assert "date" not in text.lower().split("<g", 1)[0]


def test_pixels_an_inch_are_those_asked_for_and_the_layout_does_not_hang_on_them(paths):
    sizes, texts = [], []
    for dpi in (50, 200):
        save_figure(make_figure(), *paths, dpi=dpi)
        image = Image.open(paths[0])
        assert image.info["dpi"] == pytest.approx((dpi, dpi), rel=1e-3)
        sizes.append(np.array(image.size) / dpi)
        texts.append(re.findall(r"<!-- .* -->|translate\([^)]*\)", paths[1].read_text()))
    np.testing.assert_allclose(*sizes, atol=2 / 50)
    assert texts[0] == texts[1]


class Solver(ConstrainedLayoutEngine):
    """One whose places end in other digits."""

    def __init__(self, last: float):
        super().__init__()
        self.last = last

    def execute(self, figure):
        super().execute(figure)
        for part in figure.subfigs:
            part.bbox_relative.set_points(part.bbox_relative.get_points() * (1 + self.last))
        for axes in figure.axes:
            place = axes.get_position(original=True).get_points()
            axes.set_position(Bbox(place * (1 + self.last)), which="original")


@pytest.mark.parametrize("parts", [1, 2])
def test_the_last_digits_of_a_layout_change_nothing(paths, parts):
    """They are not the same in every run: the solver's sums hang on where things lie in memory."""
    saved = []
    for last in (0, 1e-15, -1e-15):
        figure = new_figure(5, 4)
        places = figure.subfigures(1, 2, width_ratios=(1, 1.7)) if parts == 2 else [figure]
        for place in places:
            for axes in place.subplots(2, 1):
                axes.plot([0, 3, 1])
        figure.set_layout_engine(Solver(last))
        save_figure(figure, *paths)
        saved.append([path.read_bytes() for path in paths])
    assert saved[0] == saved[1] == saved[2]


def test_a_png_is_a_palette_that_looks_like_the_figure(paths):
    figure = make_figure()
    save_figure(figure, *paths)
    image = Image.open(paths[0])
    assert image.mode == "P"
    shown = np.asarray(image.convert("RGB")).astype(int)
    raw = paths[0].with_name("raw.png")
    figure.savefig(raw, dpi=DPI, bbox_inches="tight", pad_inches=0.1)
    expected = np.asarray(Image.open(raw).convert("RGB")).astype(int)
    assert shown.shape == expected.shape
    assert np.quantile(abs(shown - expected).max(-1), 0.99) <= 8
    assert (shown[0, 0] == 255).all()


def test_lines_keep_their_colours_beside_images_of_many(paths):
    figure = new_figure(6, 4)
    left, right = figure.subplots(1, 2)
    for cmap in ("viridis", "RdBu_r"):
        figure.colorbar(left.imshow(np.random.default_rng(0).random((40, 40)), cmap=cmap))
    for height, colour in enumerate(LINE_COLOURS):
        right.plot([0, 1], [height, height], color=colour, lw=6)
    save_figure(figure, *paths)
    shown = set(map(tuple, np.asarray(Image.open(paths[0]).convert("RGB")).reshape(-1, 3).tolist()))
    assert {tuple(round(255 * part) for part in to_rgb(colour)) for colour in LINE_COLOURS} <= shown


def test_a_figure_without_a_layout_engine_is_saved(paths):
    figure = new_figure(3, 2)
    figure.set_layout_engine("none")
    figure.add_axes((0.2, 0.2, 0.6, 0.6)).plot([0, 1])
    save_figure(figure, *paths)
    assert Image.open(paths[0]).size[0] > 200


def test_a_colour_bar_keeps_the_end_that_hardly_occurs(paths):
    """Blue for what is negative stays blue, though most of the sheet is shades of red."""
    rng = np.random.default_rng(0)
    figure = new_figure(8, 5)
    panels = figure.subplots(2, 1)
    for axes in panels:
        cells = np.abs(rng.normal(size=(6, 12))) * 0.4
        cells[2, 3] = -0.2
        image = axes.imshow(cells, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        for row, column in np.ndindex(cells.shape):
            axes.text(column, row, f"{cells[row, column]:.2f}", ha="center", fontsize=8)
        axes.grid(False)
    figure.colorbar(image, ax=panels)
    save_figure(figure, *paths)
    shown = np.asarray(Image.open(paths[0]).convert("RGB")).astype(int)
    raw = paths[0].with_name("raw.png")
    figure.savefig(raw, dpi=DPI, bbox_inches="tight", pad_inches=0.1)
    expected = np.asarray(Image.open(raw).convert("RGB")).astype(int)
    assert shown.shape == expected.shape
    blue = expected[..., 2] > expected[..., 0] + 60
    assert 500 < blue.sum() < 0.05 * blue.size
    assert abs(shown - expected)[blue].max() <= 16 and abs(shown - expected).max() <= 24


def sizes_of(path):
    """Width and height of a drawing, in points."""
    if path.suffix == ".pdf":
        [page] = PdfReader(path).pages
        return float(page.mediabox.width), float(page.mediabox.height)
    root = ElementTree.parse(path).getroot()
    return tuple(float(root.get(side).removesuffix("pt")) for side in ("width", "height"))


@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_a_drawing_fits_a_column(tmp_path, kind):
    def saved(width):
        save_figure(make_figure(), tmp_path / "a.png", tmp_path / f"{width}.{kind}", width)
        return sizes_of(tmp_path / f"{width}.{kind}")

    whole = saved(None)
    assert saved(30) == pytest.approx(whole), "it is narrower already"
    narrow = saved(8)
    assert narrow[0] == pytest.approx(8 / 2.54 * 72, rel=1e-4)
    assert narrow[1] / narrow[0] == pytest.approx(whole[1] / whole[0], rel=1e-4)


def test_a_narrow_drawing_is_the_same_picture(tmp_path):
    """All of it is scaled: the coordinates inside stay as they were."""
    for width in (None, 8):
        save_figure(make_figure(), tmp_path / "a.png", tmp_path / f"{width}.svg", width)
    whole, narrow = (ElementTree.parse(tmp_path / f"{width}.svg").getroot() for width in (None, 8))
    assert narrow.get("viewBox") == whole.get("viewBox")
    assert [ElementTree.tostring(part) for part in narrow] == [ElementTree.tostring(part) for part in whole]


def test_letters_need_no_font_of_the_reader(tmp_path):
    save_figure(make_figure(), tmp_path / "a.png", tmp_path / "a.svg")
    assert "<text" not in (tmp_path / "a.svg").read_text()
    save_figure(make_figure(), tmp_path / "a.png", tmp_path / "a.pdf")
    [page] = PdfReader(tmp_path / "a.pdf").pages
    assert "below" in page.extract_text()
    fonts = [font.get_object() for font in page["/Resources"]["/Font"].values()]
    for font in fonts:
        for each in font.get("/DescendantFonts", [font]):
            assert "/FontFile2" in each.get_object()["/FontDescriptor"]
    assert fonts
