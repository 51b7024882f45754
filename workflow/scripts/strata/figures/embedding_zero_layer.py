"""Figures of the model without its layers (`strata.embedding.zero_layer`)."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from strata.embedding.names import CENTRED, CENTRING, EMBEDDING, FINAL_NORM, RAW, UNEMBEDDING, VARIANT
from strata.embedding.zero_layer_tables import exception_table
from strata.figures.points import label_points
from strata.figures.style import ASIDE_COLOUR, LINE_COLOURS, NO_VALUE_COLOUR, new_figure, readable
from strata.figures.told import estimate, in_interval
from strata.names import BAND, KIND, TOKEN_STR, VOCAB, K
from strata.stats.seeding import generator
from strata.text.tokens import plain_text

INK = "#222222"
VARIANTS = {
    EMBEDDING: "embedding × embedding",
    UNEMBEDDING: "embedding × unembedding",
    FINAL_NORM: "final norm of embedding × unembedding",
}
COLOURS = dict(zip(VARIANTS, LINE_COLOURS, strict=False))
MARKERS = dict(zip(VARIANTS, "o^s", strict=True))
CENTRING_COLOURS = {RAW: LINE_COLOURS[4], CENTRED: LINE_COLOURS[2]}
CENTRINGS = {RAW: "raw", CENTRED: "about the mean embedding"}


def draw_diagonal(zero_layer: xr.Dataset) -> Figure:
    """The share of tokens that have themselves as top guess: by variant and, with counts, by frequency.

    Parameters
    ----------
    zero_layer : Dataset
        As `strata.embedding.zero_layer.analyse` returns it; so for every figure of this module.
    """
    zero_layer = zero_layer.load()
    counted = "share_by_band" in zero_layer
    figure = new_figure(12 if counted else 7.5, 4.4)
    panels = figure.subplots(1, 1 + counted, squeeze=False, width_ratios=(1, 1.5)[: 1 + counted])[0]
    variants = zero_layer[VARIANT].values.tolist()
    for place, variant in enumerate(variants):
        at = zero_layer.sel({VARIANT: variant})
        look = {"color": COLOURS[variant], "marker": MARKERS[variant]}
        share, low, high = (float(at[f"share{end}"]) for end in ("", "_low", "_high"))
        panels[0].errorbar(share, place, xerr=[[share - low], [high - share]], capsize=3, ms=7, **look)
        panels[0].annotate(
            in_interval(share, low, high, ".1%"),
            (share, place),
            xytext=(0, 11),
            textcoords="offset points",
            ha="center",
        )
    panels[0].set_yticks(range(len(variants)), [VARIANTS[v].replace(" × ", "\n× ") for v in variants])
    panels[0].set(xlim=(-0.3, 1.3), ylim=(len(variants) - 0.5, -0.6), title=f"all {_n(zero_layer):,} tokens")
    panels[0].set_xticks(np.linspace(0, 1, 5))
    panels[0].set_xlabel("share with themselves as top guess")
    by_length, place = float(zero_layer["share_by_length"]), variants.index(EMBEDDING)
    panels[0].plot(by_length, place, marker="|", ms=20, mew=2, color=ASIDE_COLOUR, ls="")
    told = (
        f"bars: {zero_layer.attrs['interval']:.0%} intervals (Wilson); grey: {by_length:.1%}, "
        "for random directions of the same lengths"
    )
    figure.supxlabel(told if counted else f"{told}; no counts of tokens are given", fontsize="small")
    if counted:
        _draw_bands(panels[1], zero_layer)
    return figure


def _draw_bands(axes: Axes, zero_layer: xr.Dataset) -> None:
    bands, n = zero_layer[BAND].values, zero_layer["share_by_band_n"].values
    spread = np.linspace(-0.12, 0.12, zero_layer.sizes[VARIANT]) if zero_layer.sizes[VARIANT] > 1 else [0]
    for shift, variant in zip(spread, zero_layer[VARIANT].values, strict=True):
        at = zero_layer.sel({VARIANT: variant})
        share, low, high = (at[f"share_by_band{end}"].values for end in ("", "_low", "_high"))
        error = np.maximum([share - low, high - share], 0)
        look = {"color": COLOURS[variant], "marker": MARKERS[variant], "capsize": 3, "lw": 1.4}
        axes.errorbar(np.arange(len(bands)) + shift, share, yerr=error, **look, label=VARIANTS[variant])
    labels = [
        f"{band.replace(' to ', ' to' + chr(10))}\n(n = {k:,})" for band, k in zip(bands, n, strict=True)
    ]
    axes.set_xticks(range(len(bands)), labels, fontsize="x-small")
    axes.set(ylim=(-0.05, 1.08), title="by how often a token occurs")
    axes.set(xlabel="occurrences (tokens)", ylabel="share with themselves as top guess")
    axes.legend(frameon=False, fontsize="small", loc="lower right")


def draw_exceptions(zero_layer: xr.Dataset, n_examples: int = 4) -> Figure:
    """The exceptions by kind, each with examples, and how many there would be by chance.

    Examples are those of the widest margin, each calling for another token where there are as many.
    """
    zero_layer = zero_layer.load()
    variants = zero_layer[VARIANT].values.tolist()
    kinds = zero_layer[KIND].values.tolist()
    exceptions = dict(list(exception_table(zero_layer).groupby(["variant", "kind"])))
    figure = new_figure(11.5, 0.9 + 3.4 * len(variants))
    panels = figure.subplots(len(variants), 2, squeeze=False, width_ratios=(1, 1.15), sharey=True)
    for (axes, named), variant in zip(panels, variants, strict=True):
        at = zero_layer.sel({VARIANT: variant})
        n = int(at["kind_share_n"])
        axes.set_title(f"{VARIANTS[variant]}:\n{n:,} exceptions of {_n(zero_layer):,} tokens", loc="left")
        axes.set(xlim=(0, 1), xlabel="share of the exceptions", ylim=(len(kinds) - 0.5, -0.5))
        axes.set_yticks(range(len(kinds)), kinds)
        named.set_title("with the widest margins" if n else "", loc="left")
        named.set_axis_off()
        if not n:
            axes.text(0.5, 3, "no exceptions", ha="center", va="center")
            continue
        share, low, high = (at[f"kind_share{end}"].values for end in ("", "_low", "_high"))
        error = np.maximum([share - low, high - share], 0)
        axes.barh(range(len(kinds)), share, 0.62, color=COLOURS[variant], xerr=error, ecolor=INK, capsize=2)
        chance_low, chance_high = at["chance_low"].values, at["chance_high"].values
        for place in range(len(kinds)):
            ends = chance_low[place], chance_high[place]
            axes.plot(ends, [place] * 2, color="white", lw=7, solid_capstyle="butt", zorder=4)
            label = "by chance: what they call for, shuffled" if place == 0 else None
            axes.plot(ends, [place] * 2, color=INK, marker="|", ms=11, mew=1.6, lw=2.5, zorder=5, label=label)
            table = exceptions.get((variant, kinds[place]))
            told = f"{len(table):,}   {_examples(table, n_examples)}" if table is not None else "0"
            named.text(0, place, told, va="center", fontsize="small", parse_math=False)
    handles = next((h for h in (axes.get_legend_handles_labels() for axes in panels[:, 0]) if h[0]), None)
    if handles:
        figure.legend(*handles, frameon=False, fontsize="small", loc="outside upper right")
    told = f"whiskers and black bars: {zero_layer.attrs['interval']:.0%} intervals (Wilson; shuffles)"
    figure.supxlabel(told, fontsize="small")
    return figure


def _examples(table: pd.DataFrame, n: int) -> str:
    """Of exceptions, the widest margins first, the first to call for each token; then the others."""
    again = table["calls_for_id"].duplicated()
    chosen = pd.concat([table[~again], table[again]])[:n]
    pairs = zip(chosen["token"], chosen["calls_for"], strict=True)
    return "   ".join(f"{readable(token)} ⇒ {readable(other)}" for token, other in pairs)


def draw_attractors(zero_layer: xr.Dataset, n_labels: int = 8) -> Figure:
    """How many others call for each token, against the length of the vector it is called by."""
    zero_layer = zero_layer.load()
    variants = zero_layer[VARIANT].values.tolist()
    figure = new_figure(1 + 5.4 * len(variants), 5)
    panels = figure.subplots(1, len(variants), squeeze=False, sharey=True)[0]
    names = zero_layer[TOKEN_STR].values
    for axes, variant in zip(panels, variants, strict=True):
        at = zero_layer.sel({VARIANT: variant})
        norm, attracted = at["key_norm"].values, at["attracted"].values
        drawn = attracted > 0
        dots = {"lw": 0, "rasterized": True}
        jitter = generator(0).uniform(-0.25, 0.25, len(norm))
        axes.scatter(norm[~drawn], jitter[~drawn], s=5, color=NO_VALUE_COLOUR, alpha=0.6, **dots)
        axes.scatter(norm[drawn], attracted[drawn], s=16, color=COLOURS[variant], **dots)
        axes.set_yscale("symlog", linthresh=1, linscale=0.6)
        axes.set_ylim(-0.5, max(3.0, 2.5 * zero_layer["attracted"].values.max()))
        axes.margins(x=0.12)
        order = np.argsort(-attracted, kind="stable")[: min(6 * n_labels, (attracted > 1).sum())]
        labels = {index: f"{readable(names[index])} ({attracted[index]:,.0f})" for index in order}
        label_points(axes, np.column_stack([norm, attracted]), labels, most=n_labels)
        told, n = "none attracts another", int(at["attractor_percentile_n"])
        if n:
            told = f"{n} that attract are longer than {estimate(at, 'attractor_percentile', '.0%')} of tokens"
        axes.set_title(f"{VARIANTS[variant]}\n{told}", fontsize="medium")
        axes.set_xlabel("length of the vector it is called by\n(embedding units)")
    panels[0].set_ylabel("other tokens that call for it")
    interval = zero_layer.attrs["interval"]
    figure.supxlabel(
        f"grey: called for by none (moved up or down at random); interval: {interval:.0%} bootstrap "
        "over those that attract; 50% if length played no part",
        fontsize="small",
    )
    return figure


def draw_neighbours(zero_layer: xr.Dataset, n_tokens: int = 9, n_shown: int = 3) -> Figure:
    """How near the nearest other token is, and the nearest of a few tokens.

    These are words spread evenly over the vocabulary, from the most frequent on where there are counts.
    """
    zero_layer = zero_layer.load()
    figure = new_figure(14, 1.2 + 0.42 * (n_tokens + 2))
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.5))
    axes = left.subplots()
    nearest = zero_layer["neighbour_cosine"].isel({K: 0})
    bins = np.linspace(min(0.0, float(nearest.min())), 1, 61)
    for centring, colour in CENTRING_COLOURS.items():
        share = estimate(zero_layer.sel({CENTRING: centring}), "above_chance", ".1%")
        label = f"{CENTRINGS[centring]}: {share}\nbeyond chance"
        values = nearest.sel({CENTRING: centring}).values
        axes.hist(values, bins, histtype="step", lw=1.8, color=colour, label=label)
    axes.axvline(
        float(zero_layer["chance_cosine"]),
        color=INK,
        ls="--",
        lw=1.2,
        label="random directions: 99% are below",
    )
    axes.set(xlabel="cosine with the nearest other token", ylabel=f"tokens (of {_n(zero_layer):,})")
    left.legend(frameon=False, fontsize="small", loc="outside upper left")
    _draw_table(right.subplots(), zero_layer, _words(zero_layer, n_tokens), n_shown)
    return figure


def _draw_table(axes: Axes, zero_layer: xr.Dataset, rows: np.ndarray, n_shown: int) -> None:
    names = zero_layer[TOKEN_STR].values
    columns = {None: 0.0, **dict(zip(CENTRINGS, (0.12, 0.56), strict=True))}
    for centring, x in columns.items():
        heading = "token" if centring is None else f"nearest, {CENTRINGS[centring]} (cosine)"
        axes.text(x, -1, heading, weight="bold", va="center", fontsize="small")
    for place, row in enumerate(rows):
        axes.axhline(place - 0.5, color=NO_VALUE_COLOUR, lw=0.6)
        axes.text(0, place, readable(names[row]), va="center", fontsize="small", parse_math=False)
        for centring in CENTRINGS:
            at = zero_layer.sel({CENTRING: centring}).isel({VOCAB: row, K: slice(n_shown)})
            pairs = zip(at["neighbour_row"].values, at["neighbour_cosine"].values, strict=True)
            told = "   ".join(f"{readable(names[other])} {cosine:.2f}" for other, cosine in pairs)
            axes.text(columns[centring], place, told, va="center", fontsize="small", parse_math=False)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -1.6))
    axes.set_axis_off()


def _words(zero_layer: xr.Dataset, n: int) -> np.ndarray:
    """Rows of ``n`` tokens that are a word after a space, spread evenly by rank of count, else by row."""
    texts = [plain_text(str(token)) for token in zero_layer[TOKEN_STR].values]
    rows = np.array(
        [i for i, text in enumerate(texts) if text[:1] == " " and len(text) > 3 and text[1:].isalpha()]
    )
    rows = rows if len(rows) else np.arange(len(texts))
    if "count" in zero_layer:
        rows = rows[np.argsort(-zero_layer["count"].values[rows], kind="stable")]
    return rows[np.unique(np.linspace(0, len(rows) - 1, n).astype(int))]


def _n(zero_layer: xr.Dataset) -> int:
    return zero_layer.sizes[VOCAB]
