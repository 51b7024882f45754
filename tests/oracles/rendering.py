"""Drawing whole figures, to see that they can be."""

import re
import warnings
from itertools import combinations

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def render(figure: Figure) -> None:
    """Draw the whole figure; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(figure).draw()


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
    """Pairs of words outside the panels (titles, labels, ticks, legends) that lie upon each other."""
    render(figure)
    boxes = [(text.get_text(), text.get_window_extent().padded(-1)) for text in _words(figure)]
    return [(one, other) for (one, here), (other, there) in combinations(boxes, 2) if here.overlaps(there)]


def _words(figure: Figure) -> list[Text]:
    words = [*figure.texts]
    for legend in figure.legends:
        words += [legend.get_title(), *legend.get_texts()]
    for axes in figure.axes:
        if not axes.get_visible():
            continue
        words += [axes.title, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            words += [label for tick in ticks for label in (tick.label1, tick.label2)]
    return [text for text in words if text.get_visible() and text.get_text().strip()]
