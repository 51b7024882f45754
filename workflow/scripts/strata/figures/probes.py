"""Figures of linear probes (`strata.probes.tokens`) and of unlikely tokens' embeddings (`.repurposing`)."""

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from strata.figures.curves import draw_curve, marks, set_depth_ticks
from strata.figures.style import ASIDE_COLOUR, LINE_COLOURS, SEQUENTIAL, new_figure
from strata.lens.names import STATE
from strata.names import COMPONENT, DEPTH, TARGET, TOKEN_SET
from strata.probes.names import FITTED_DEPTH, NMF_COMPONENT

OWN, SHARED, THIRD, *_ = LINE_COLOURS
TIMES = (0.25, 0.5, 1, 2, 4)  # colour scale of squared weight, as multiples of what a random direction has
TITLES = {"input": "input token", "next": "next token"}
SET_COLOURS = {"unlikely": SHARED, "likely": OWN, "random": ASIDE_COLOUR}


def draw_accuracy(probes: xr.Dataset) -> Figure:
    """Held-out accuracy by depth of each depth's own probe and of the shared one, for either target.

    Parameters
    ----------
    probes : Dataset
        As `strata.probes.tokens.analyse` returns it; so for `draw_embedding`.
    """
    probes = probes.load()
    figure = new_figure(11, 4.8)
    panels = figure.subplots(1, probes.sizes[TARGET], sharex=True, sharey=True)
    for axes, target in zip(panels, probes[TARGET].values, strict=True):
        part = probes.sel({TARGET: target})
        _draw_line(axes, part, "accuracy", label="a probe for each depth", color=OWN)
        look = {"color": SHARED, "marker": "s", "linestyle": "--"}
        _draw_line(axes, part, "shared_accuracy", label="one probe for all depths", **look)
        look = {"color": ASIDE_COLOUR, "lw": 1.2}
        axes.axhline(1 - float(part["unknown_share"]), **look, label="tokens that occur in the fitted text")
        axes.axhline(float(part["most_frequent"]), **look, ls="--", label="always the most frequent token")
        axes.axhline(float(part["chance"]), **look, ls=":", label="guesses by frequency")
        n_scored, n_documents = (int(part[name]) for name in ("n_scored", "n_documents"))
        axes.set_title(f"{TITLES[target]} ({n_scored:,} tokens of {n_documents:,} documents)")
        set_depth_ticks(axes, probes[DEPTH].values)
    panels[0].set(ylabel="accuracy (share of tokens)", ylim=(-0.02, 1.02))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=3, frameon=False, loc="outside upper center")
    told = f"held-out tokens in contexts that were never trained on; {probes.attrs['interval']:.0%} intervals"
    figure.supxlabel(f"{told}: bootstrap over documents", fontsize="small")
    return figure


def draw_elsewhere(probes: xr.Dataset) -> Figure:
    """Accuracy of the probe of every depth at every depth, for either target.

    Parameters
    ----------
    probes : Dataset
        As `strata.probes.tokens.analyse` returns it.
    """
    depths = probes[DEPTH].values
    edge = np.ptp(depths) / max(len(depths) - 1, 1) / 2
    extent = (depths[0] - edge, depths[-1] + edge, depths[0] - edge, depths[-1] + edge)
    figure = new_figure(11, 5.7)
    panels = figure.subplots(1, probes.sizes[TARGET], sharex=True, sharey=True)
    for axes, target in zip(panels, probes[TARGET].values, strict=True):
        part = probes.sel({TARGET: target})
        values = part["elsewhere_accuracy"].transpose(FITTED_DEPTH, DEPTH)
        image = axes.imshow(values, SEQUENTIAL, vmin=0, vmax=1, origin="lower", extent=extent)
        axes.grid(False)
        axes.set_title(f"{TITLES[target]} ({int(part['n_elsewhere']):,} tokens)")
        set_depth_ticks(axes, depths)
        axes.set_xlabel("depth that it is tried at")
        axes.set_yticks(axes.get_xticks())
    panels[0].set_ylabel("depth that a probe was fitted at")
    figure.colorbar(image, ax=list(panels), label="accuracy (share of tokens)", shrink=0.8)
    width = float((probes["elsewhere_accuracy_high"] - probes["elsewhere_accuracy_low"]).max())
    figure.supxlabel(
        f"held-out tokens in contexts that were never trained on; {probes.attrs['interval']:.0%} intervals "
        f"(bootstrap over documents) are {width:.2f} wide at most",
        fontsize="small",
    )
    return figure


def draw_embedding(probes: xr.Dataset) -> Figure:
    """What probes have to do with the embedding matrix: alignment, and weight over its SVD and NMF bases.

    A row for the input token, one for the next (its matrix is the unembedding). Lines of the shared
    probe are dashed; grey is what a random matrix, or a weight that favours no direction, would have.
    """
    probes = probes.load()
    n_rows, n_nmf = probes.sizes[TARGET], probes.sizes[NMF_COMPONENT]
    figure = new_figure(14, 0.9 + 3.7 * n_rows)
    panels = figure.subplots(n_rows, 4, squeeze=False, sharex="col", width_ratios=(1.1, 1, 1.15, 0.9))
    for row, target in zip(panels, probes[TARGET].values, strict=True):
        part = probes.sel({TARGET: target})
        _draw_alignment(row[0], part)
        _draw_svd(row[1], part)
        image = _draw_nmf(row[2], part)
        _draw_span(row[3], part)
        row[0].set_ylabel(f"{TITLES[target]}\ncosine; share of tokens")
    depths = probes[DEPTH].values
    for axes in panels[-1, [0, 3]]:
        set_depth_ticks(axes, depths)
        axes.tick_params(axis="x", labelsize="small")
    panels[-1, 1].set_xlabel("singular directions, largest first")
    panels[-1, 2].set_xlabel("direction, most carried first")
    for axes in panels[:, 2]:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    titles = ("along the token's own embedding", "over the SVD, cumulative", "along each NMF direction")
    for axes, title in zip(panels[0], (*titles, f"in the span of all {n_nmf}"), strict=True):
        axes.set_title(title)
    panels[0, 0].legend(fontsize="x-small", loc="upper right")
    panels[0, 1].legend(fontsize="x-small", loc="lower right")
    scale = ScalarMappable(Normalize(depths.min(), depths.max()), SEQUENTIAL)
    look = {"location": "bottom", "aspect": 30, "pad": 0.02}
    figure.colorbar(scale, ax=list(panels[:, 1]), label="depth", **look)
    told = "squared weight (random direction = 1), log scale"
    bar = figure.colorbar(image, ax=list(panels[:, 2]), label=told, extend="both", **look)
    bar.minorticks_off()
    bar.set_ticks(TIMES, labels=[f"{times:g}" for times in TIMES])
    return figure


def draw_repurposing(repurposing: xr.Dataset) -> Figure:
    """Energy of states along unlikely tokens' embeddings, in random subspaces of that size, and the cosine.

    Parameters
    ----------
    repurposing : Dataset
        As `strata.lens.repurposing.analyse` returns it.
    """
    repurposing = repurposing.load()
    figure = new_figure(11, 7.4)
    panels = figure.subplots(2, repurposing.sizes[STATE], sharex=True, sharey="row")
    relative = repurposing[["energy", "energy_low", "energy_high"]] / repurposing["random_subspace"]
    told = {"whole": "states as they are", "centred": "states about their depth's mean"}
    names = {"unlikely": "least likely", "likely": "most likely", "random": "random"}
    m = int(repurposing["m"])
    for column, state in zip(panels.T, repurposing[STATE].values, strict=True):
        for name, colour in SET_COLOURS.items():
            chosen = {STATE: state, TOKEN_SET: name}
            look = {"color": colour, "label": f"{m} {names[name]} tokens"}
            _draw_line(column[0], relative.sel(chosen), "energy", **look)
            _draw_line(column[1], repurposing.sel(chosen), "cosine", **look)
        column[0].axhline(1, color=ASIDE_COLOUR, lw=1.2, ls=":", label=f"random subspace of {m} dimensions")
        column[1].axhline(0, color=ASIDE_COLOUR, lw=1.2, ls=":")
        column[0].set_title(told[state])
        set_depth_ticks(column[1], repurposing[DEPTH].values)
    panels[0, 0].set_ylabel("energy in the embeddings' span\n(random subspace = 1)")
    panels[0, 0].set_ylim(0, None)
    panels[1, 0].set_ylabel("mean cosine with the embeddings")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=2, frameon=False, loc="outside upper center")
    interval = repurposing.attrs["interval"]
    most, typical = float(repurposing["p_unlikely_max"]), float(repurposing["p_unlikely_median"])
    figure.supxlabel(
        f"largest probability among the least likely: median {typical:.0e}, maximum {most:.0e}; "
        f"{int(repurposing['n_tokens']):,} tokens\n"
        f"{interval:.0%} intervals: bootstrap over {int(repurposing['n_prompts']):,} prompts. "
        "At the last depth states point away from unlikely tokens by construction.",
        fontsize="small",
    )
    return figure


def _draw_line(axes: Axes, values: xr.Dataset, name: str, **look) -> None:
    """A variable by depth in its interval."""
    curves = (values[name + end].reset_coords(drop=True).to_series() for end in ("", "_low", "_high"))
    draw_curve(axes, *curves, **{"marker": "o", "markevery": marks(values[DEPTH].values)} | look)


def _draw_alignment(axes: Axes, part: xr.Dataset) -> None:
    depths = part[DEPTH].values
    names = {"cosine": ("mean cosine", OWN, "o"), "match": ("own embedding nearest", THIRD, "^")}
    for name, (label, colour, marker) in names.items():
        axes.plot(depths, part[name], color=colour, marker=marker, ms=3.5, label=label)
        axes.axhline(
            float(part[f"shared_{name}"]), color=colour, ls="--", lw=1.2, label=f"{label}, shared probe"
        )
        bounds = (part[f"random_{name}_{end}"] for end in ("low", "high"))
        random = "random matrices" if name == "match" else None
        axes.fill_between(depths, *bounds, color=ASIDE_COLOUR, lw=2, zorder=3, label=random)
    axes.set_ylim(min(-0.03, axes.get_ylim()[0]), 1.03)


def _draw_svd(axes: Axes, part: xr.Dataset) -> None:
    depths = part[DEPTH].values
    counts = np.arange(1, part.sizes[COMPONENT] + 1)
    shades = matplotlib.colormaps[SEQUENTIAL]((depths - depths.min()) / max(np.ptp(depths), 1))
    for share, shade in zip(part["svd_share"].transpose(DEPTH, COMPONENT).values, shades, strict=True):
        axes.plot(counts, share.cumsum(), color=shade, lw=1.1)
    axes.plot(counts, part["shared_svd_share"].cumsum(), color="black", ls="--", lw=1.4, label="shared probe")
    evenly = counts / part.attrs["n_channels"]
    axes.plot(counts, evenly, color=ASIDE_COLOUR, ls=":", lw=1.8, label="no direction favoured")
    axes.set(ylabel="share of squared weight", ylim=(-0.02, 1.02))


def _draw_nmf(axes: Axes, part: xr.Dataset) -> AxesImage:
    """Shares over their baseline: a row for each depth, from below; above a gap the shared probe."""
    own = part["nmf_share"].transpose(DEPTH, NMF_COMPONENT).values
    every = -(-len(own) // 13)  # depths from one tick to the next
    shared = np.tile(part["shared_nmf_share"].values, (every, 1))
    times = np.vstack([own, np.full_like(shared, np.nan), shared]) * part.attrs["n_channels"]
    scale = LogNorm(TIMES[0], TIMES[-1])
    image = axes.imshow(times, origin="lower", aspect="auto", cmap="RdBu_r", norm=scale, interpolation="none")
    labels = [f"{depth:g}" for depth in part[DEPTH].values[::every]]
    middle = len(own) + 1.5 * every - 0.5
    axes.set_yticks([*range(0, len(own), every), middle], [*labels, "shared"])
    axes.set_ylabel("depth")
    axes.grid(False)
    return image


def _draw_span(axes: Axes, part: xr.Dataset) -> None:
    axes.plot(part[DEPTH], part["nmf_span"], color=OWN, marker="o", ms=3.5)
    axes.axhline(float(part["shared_nmf_span"]), color=OWN, ls="--", lw=1.2)
    axes.axhline(part.sizes[NMF_COMPONENT] / part.attrs["n_channels"], color=ASIDE_COLOUR, ls=":", lw=1.8)
    axes.set(ylabel="share of squared weight", ylim=(0, 1.1 * axes.get_ylim()[1]))
