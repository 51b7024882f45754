"""Saving figures."""

import matplotlib
from matplotlib.figure import Figure


def save_figure(figure: Figure, png: str, svg: str) -> None:
    """Save a figure as PNG and SVG, the same bytes for the same figure."""
    with matplotlib.rc_context({"svg.hashsalt": "strata", "svg.fonttype": "none"}):
        figure.savefig(png, dpi=150, bbox_inches="tight")
        figure.savefig(svg, bbox_inches="tight", metadata={"Date": None})
