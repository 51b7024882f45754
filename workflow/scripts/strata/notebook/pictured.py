"""Labelled data that show their picture in a notebook."""

from abc import abstractmethod
from base64 import b64encode
from collections.abc import Callable
from textwrap import shorten
from typing import TYPE_CHECKING, Self

import xarray as xr

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Pictured(xr.Dataset):
    """A dataset that shows its picture in a notebook, above its variables.

    What is selected or computed from it shows its variables alone: the picture is that of the whole.
    """

    __slots__ = ("_whole",)

    @classmethod
    def of(cls, dataset: xr.Dataset) -> Self:
        """The same data, with their picture."""
        own = cls(dataset.data_vars, dataset.coords, dataset.attrs)
        own._whole = own  # what xarray makes of it is another object, whether or not it takes this over
        return own

    @abstractmethod
    def figure(self) -> "Figure":
        """The picture, as a figure of matplotlib."""

    def _repr_html_(self) -> str:
        variables = super()._repr_html_()
        if getattr(self, "_whole", None) is not self:
            return variables
        # Not at the top: data that are not shown need no plotting library.
        from matplotlib import rc_context

        from strata.figures.saving import as_png

        with rc_context():
            png = b64encode(as_png(self.figure())).decode()
        return f'<img src="data:image/png;base64,{png}" style="max-width: 100%">{variables}'


def drawn(draw: "Callable[[], Figure]") -> "Figure":
    """A figure in this project's style, laid out; those that are made after it keep their own."""
    from matplotlib import rc_context

    with rc_context():
        figure = draw()
        figure.draw_without_rendering()  # ticks take their style when they are first drawn
    return figure


def title(text: str) -> str:
    """A text as its picture is called: in one line, and not too long."""
    return shorten(text, 60, placeholder=" …")
