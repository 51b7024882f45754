"""The figure of a training run."""

import pandas as pd
from matplotlib.figure import Figure

from strata.figures.style import new_figure

# Okabe and Ito's colours, in the order in which kinds come.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
ALL = "all"


def draw_loss(shipped: pd.DataFrame, retrained: pd.DataFrame) -> Figure:
    """Loss over tokens seen, one line per kind of document, of the shipped and of a new run.

    Parameters
    ----------
    shipped, retrained : DataFrame
        Columns ``step``, ``tokens`` (seen so far) and one of losses (nats per token) for ``all``
        tokens and for each kind of document. The shipped run is dotted.
    """
    kinds = [c for c in retrained.columns if c not in ("step", "tokens")]
    colours = dict(zip([k for k in kinds if k != ALL], COLOURS * len(kinds), strict=False))
    figure = new_figure(9, 4.8)
    axes = figure.subplots()
    for kind in kinds:
        look = {"color": colours.get(kind, "black"), "lw": 1.8 if kind == ALL else 1.1}
        tokens = retrained["tokens"] / 1e6
        axes.plot(tokens, retrained[kind], **look, label=kind.replace("_", " "))
        if kind in shipped:
            axes.plot(shipped["tokens"] / 1e6, shipped[kind], **{**look, "ls": ":"})
    axes.plot([], [], color="black", ls=":", label="shipped run")
    axes.set(xlabel="tokens seen (millions)", ylabel="loss (nats per token)", yscale="log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="y", which="minor", labelsize="x-small")
    axes.legend(title="tokens of", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
