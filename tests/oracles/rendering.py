"""Drawing whole figures, to see that they can be."""

import re
import warnings

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D, Bbox


def render(figure: Figure) -> None:
    """Lay out and draw the whole figure, but for its pixels; a warning is an error."""
    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()


def notice(figure: Figure) -> str:
    """What a figure says that has nothing to draw."""
    render(figure)
    assert not figure.axes
    return figure.texts[0].get_text()


def without_intervals(data: xr.Dataset) -> xr.Dataset:
    """The same as of too few units: every interval's ends are NaN."""
    ends = [
        name
        for name in data.data_vars
        if name.endswith(("_low", "_high")) and f"{name[: name.rindex('_')]}" in data
    ]
    assert ends
    return data.assign({name: np.nan * data[name] for name in ends})


def nans(figure: Figure) -> list[str]:
    """Words of a figure that tell a number that there is not."""
    render(figure)
    words = [text.get_text() for text in figure.findobj(Text) if text.get_visible()]
    return [word for word in words if re.search(r"\bnan\b|nan%", word)]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of words that lie upon each other: titles, labels, ticks, legends, words in panels."""
    render(figure)
    words = _words(figure)
    low, high = np.array([_box(text).get_points() for text in words]).reshape(-1, 2, 2).swapaxes(0, 1)
    near = ((low[:, None] < high) & (low < high[:, None])).all(-1)
    shapes = {index: _shape(words[index]) for index in np.flatnonzero(near.sum(1) > 1)}
    pairs = [pair for pair in zip(*np.nonzero(np.triu(near, 1)), strict=True)]
    return [
        (words[one].get_text(), words[other].get_text())
        for one, other in pairs
        if shapes[one].intersects_path(shapes[other])
    ]


def _box(text: Text) -> Bbox:
    """The room of a word, a pixel less on each side."""
    return text.get_window_extent().padded(-1)


def _shape(text: Text) -> Path:
    """The same, turned as the word is."""
    centre = _box(text).get_points().mean(0)
    angle = text.get_rotation()
    text.set_rotation(0)
    width, height = _box(text).size
    text.set_rotation(angle)
    turned = Affine2D().scale(width, height).rotate_deg(angle).translate(*centre)
    return turned.transform_path(Path.unit_rectangle().transformed(Affine2D().translate(-0.5, -0.5)))


def _words(figure: Figure) -> list[Text]:
    words = [*figure.texts]
    for legend in figure.legends:
        words += [legend.get_title(), *legend.get_texts()]
    for axes in figure.axes:
        if not axes.get_visible():
            continue
        words += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        if legend := axes.get_legend():
            words += [legend.get_title(), *legend.get_texts()]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            words += [label for tick in ticks for label in (tick.label1, tick.label2)]
    return [text for text in words if text.get_visible() and text.get_text().strip()]
