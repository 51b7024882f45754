"""Figures of where attention goes (`strata.attention`).

Layers lie along the x axis throughout. All heads of a model are shown as a map of layer by head: twelve
layers of four heads get their numbers in the cells, and 48 layers of 25 heads are still one sheet.
"""

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from strata.attention.names import HEADS
from strata.figures.curves import draw_curve, marks, set_log_scale, thinned
from strata.figures.style import (
    ASIDE_COLOUR,
    LINE_COLOURS,
    NO_VALUE_COLOUR,
    SEQUENTIAL,
    category_colours,
    ink_on,
    line_looks,
    new_figure,
)
from strata.names import (
    ALL,
    CATEGORY,
    CHANNEL,
    CHANNEL_SET,
    DEPTH,
    HEAD,
    LAYER,
    NOISE,
    POSITION,
    PROMPT,
    SITE,
)

SITES = {"first": "first token", "subject": "subject", "final": "final token (itself)"}
HEAD_CHOICES = {"mean": "mean of the heads", "best": "head that attends the most"}
HEAD_COLOURS = {"mean": LINE_COLOURS[0], "best": LINE_COLOURS[1]}
CHANNEL_SETS = {
    "norm1_gain": "outlier gain\nbefore attention",
    "norm2_gain": "outlier gain\nbefore the MLP",
    "position": "active in position\nembedding",
}
MAX_NUMBERED = 128  # cells of a map that still have room for a number
CASING = [withStroke(linewidth=3, foreground="white")]  # lines seen on every colour of a map
MAX_NAMED = 8  # outsized channels with a colour of their own


# The final token ----------------------------------------------------------------------------


def draw_final_token(attention: xr.Dataset) -> Figure:
    """The final token's attention on first token, subject and itself: linear, and the same on a log scale.

    Parameters
    ----------
    attention : Dataset
        As `strata.attention.patterns.analyse` returns it; so for `draw_heads`, `draw_sink`,
        `draw_subject_peak`.
    """
    figure = new_figure(11, 10.5)
    panels = figure.subplots(len(SITES), 2, sharex=True)
    colours = category_colours(c for c in attention[CATEGORY].values if c != ALL)
    for row, (site, label) in zip(panels, SITES.items(), strict=True):
        for axes in row:
            for category, colour in colours.items():
                at = attention.sel({SITE: site, CATEGORY: category})
                told = f"{category.replace('_', ' ')} ({int(at['attention_n'])})"
                _draw_band(axes, at, "attention", LAYER, color=colour, label=told)
        row[0].set(title=f"attention on the {label}", ylim=(0, None), ylabel="share of attention")
        row[1].set(title="the same on a log scale")
        set_log_scale(row[1])
    for axes in panels[-1]:
        _set_layers(axes, attention[LAYER].values)
    keys = panels[0, 0].get_legend_handles_labels()
    figure.legend(
        *keys, title="category (prompts)", ncols=len(colours), frameon=False, loc="outside upper center"
    )
    told = f"means over heads and prompts; bands: {attention.attrs['interval']:.0%} bootstrap intervals"
    figure.supxlabel(told, fontsize="small")
    return figure


def draw_heads(attention: xr.Dataset, category: str = ALL) -> Figure:
    """The same for every head: a map of layer by head for each site, means over a category's prompts."""
    at = attention.sel({CATEGORY: category})
    figure, panels = _new_maps(at, len(SITES))
    norm = PowerNorm(0.5, 0, 1)
    for axes, (site, label) in zip(panels, SITES.items(), strict=True):
        image = _draw_map(axes, at["attention_by_head"].sel({SITE: site}), norm)
        axes.set_title(f"attention on the {label}")
    panels[-1].set_xlabel("layer")
    bar = figure.colorbar(
        image, ax=panels, label="share of attention, square-root scale", pad=0.01, aspect=30
    )
    bar.set_ticks([0, 0.05, 0.2, 0.4, 0.6, 0.8, 1])
    n = int(at["attention_by_head_n"])
    told = "prompts of all categories" if category == ALL else f"{category.replace('_', ' ')} prompts"
    figure.suptitle(f"where the final token attends, by head: means over {n} {told}", fontsize="medium")
    return figure


def draw_sink(attention: xr.Dataset, in_text: xr.Dataset | None = None) -> Figure:
    """Attention on the first token by layer with its onset and release, over the entropy of every head.

    Parameters
    ----------
    in_text : Dataset, optional
        As `strata.attention.patterns.over_text` returns it: long texts beside the prompts.
    """
    at = attention.sel({CATEGORY: ALL})
    layers = attention[LAYER].values
    first = at["attention_by_head"].sel({SITE: "first"})
    figure, panels = _new_maps(at, 2 if in_text is None else 3, height_of_first=3.2)
    for choice, share in {"mean": first.mean(HEAD), "best": first.max(HEAD)}.items():
        look = {"color": HEAD_COLOURS[choice], "marker": "o", "ms": 3.5, "lw": 1.6}
        panels[0].plot(layers, share, **look, label=f"prompts, {HEAD_CHOICES[choice]}")
        for end in ("onset", "release"):
            value = float(at[end].sel({HEADS: choice}))
            for axes in panels[:2]:
                axes.axvline(value, color=HEAD_COLOURS[choice], ls="--", lw=1.4, path_effects=CASING)
    if in_text is not None:
        shares = {"mean": in_text["first_in_text"].mean(HEAD), "best": in_text["first_in_text"].max(HEAD)}
        for choice, share in shares.items():
            look = {"color": HEAD_COLOURS[choice], "marker": "s", "mfc": "white", "ms": 3.5, "lw": 1.2}
            label = f"long texts, {HEAD_CHOICES[choice]}"
            panels[0].plot(layers, share, **look, ls=":", label=label)
            for end in ("onset_in_text", "release_in_text"):
                value = float(in_text[end].sel({HEADS: choice}))
                panels[2].axvline(value, color=HEAD_COLOURS[choice], ls=":", lw=1.8, path_effects=CASING)
    panels[0].set(ylabel="attention on the first token\n(share)", ylim=(0, None))
    figure.legend(frameon=False, fontsize="small", ncols=2, loc="outside upper center")
    panels[0].set_title("dashed and dotted: onset and release, at half of the maximum beyond an even spread")
    image = _draw_map(panels[1], at["entropy_relative"], Normalize(0, 1))
    panels[1].set_title(f"entropy of the final token's attention, {int(at['entropy_relative_n'])} prompts")
    if in_text is not None:
        _draw_map(panels[2], in_text["entropy_in_text"], Normalize(0, 1))
        n, skip = int(in_text["n_tokens_in_text"]), int(in_text.attrs["skip"])
        panels[2].set_title(f"entropy of attention in long texts, {n:,} tokens from position {skip} on")
    panels[-1].set_xlabel("layer")
    figure.colorbar(image, ax=panels[1:], label="entropy (1: spread evenly)", pad=0.01, aspect=30)
    return figure


def draw_subject_peak(attention: xr.Dataset, noise: str) -> Figure:
    """The layer in which the final token attends the most to the subject, against the transition depth.

    A row for the mean over heads and one for the best head. Left, prompts, with their transitions under
    one noise level; right, rank correlations by category under every level, with their intervals.
    """
    figure = new_figure(10.5, 8.6)
    panels = figure.subplots(len(HEAD_CHOICES), 2)
    colours = category_colours(attention[CATEGORY].values)
    jitter = np.random.default_rng(0).uniform(-0.3, 0.3, attention.sizes[PROMPT])
    depth = attention["transition_depth"].sel({NOISE: noise}).values
    defined = np.isfinite(depth)
    every = np.append(attention["peak_layer"].values[:, defined], depth[defined])
    limits = (every.min() - 0.6, every.max() + 0.6) if len(every) else (-0.6, 0.6)
    for (prompts, correlations), (choice, told) in zip(panels, HEAD_CHOICES.items(), strict=True):
        at = attention.sel({HEADS: choice})
        layer = at["peak_layer"].values + jitter
        for category, colour in colours.items():
            chosen = defined & (attention["prompt_category"].values == category)
            if chosen.any():
                label = category.replace("_", " ")
                prompts.scatter(
                    layer[chosen], depth[chosen], s=16, color=colour, alpha=0.7, lw=0, label=label
                )
        prompts.axline((0, 0), slope=1, color=ASIDE_COLOUR, lw=1, ls=":")
        prompts.set_title(f"noise {noise}: {_rho(at.sel({NOISE: noise, CATEGORY: ALL}))}")
        prompts.set(xlim=limits, ylim=limits, ylabel=f"{told}\ntransition depth")
        for axis in (prompts.xaxis, prompts.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        _draw_correlations(correlations, at, colours)
    panels[-1, 0].set_xlabel("layer of the most attention on the subject")
    panels[-1, 1].set_xlabel(f"rank correlation, {attention.attrs['interval']:.0%} bootstrap interval")
    shown = {}
    for axes in panels[0]:
        shown |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(shown.values(), shown, ncols=5, frameon=False, loc="outside upper center")
    told = "dots are moved sideways by up to 0.3 layers; prompts without a transition are left out"
    figure.supxlabel(told, fontsize="small")
    return figure


def _rho(at: xr.Dataset) -> str:
    rho, low, high, n = (float(at[f"rho{end}"]) for end in ("", "_low", "_high", "_n"))
    interval = f" [{low:.2f}, {high:.2f}]" if np.isfinite(low) else ""
    return f"ρ = {rho:.2f}{interval}, n = {n:.0f}" if np.isfinite(rho) else f"no correlation, n = {n:.0f}"


def _draw_correlations(axes: Axes, at: xr.Dataset, colours: dict[str, str]) -> None:
    """Rank correlations by category, one point for each noise level."""
    levels = list(line_looks(map(str, at[NOISE].values)).items())
    spread = np.linspace(-0.25, 0.25, len(levels)) if len(levels) > 1 else [0.0]
    for place, (category, colour) in enumerate(colours.items()):
        for offset, (level, look) in zip(spread, levels, strict=True):
            cell = at.sel({CATEGORY: category, NOISE: level})
            rho, low, high = (float(cell[f"rho{end}"]) for end in ("", "_low", "_high"))
            label = f"noise {level}" if category == ALL else None
            axes.plot([low, high], [place + offset] * 2, color=colour, lw=1.4)
            axes.plot(rho, place + offset, color=colour, marker=look["marker"], ms=5, ls="", label=label)
    axes.axvline(0, color=ASIDE_COLOUR, lw=1)
    counts = at["rho_n"].max(NOISE)
    named = [f"{c.replace('_', ' ')} ({int(counts.sel({CATEGORY: c}))})" for c in colours]
    axes.set_yticks(range(len(colours)), named)
    axes.set(xlim=(-1.05, 1.05), ylim=(len(colours) - 0.4, -0.6), title="by category (prompts)")
    axes.set_xticks([-1, -0.5, 0, 0.5, 1])


# Texts --------------------------------------------------------------------------------------


def draw_first_by_position(in_text: xr.Dataset, min_documents: int = 10) -> Figure:
    """Attention on the first token against position: every layer as a line, means over heads.

    Parameters
    ----------
    in_text : Dataset
        As `strata.attention.patterns.over_text` returns it; so for the next.
    min_documents : int
        Positions that fewer documents reach are not drawn.
    """
    shown = _reached(in_text, min_documents)
    figure = new_figure(11, 6.4)
    panels = figure.subplots(2, 2, sharex=True, height_ratios=(4, 1))
    position, layers = shown[POSITION].values, shown[LAYER].values
    shades = _shades(layers)
    share = shown["first_by_position"].mean(HEAD).transpose(LAYER, POSITION).values
    for axes in panels[0]:
        for line, colour in zip(share, shades, strict=True):
            axes.plot(position, line, color=colour, lw=1.2)
        axes.plot(position, 1 / (position + 1), color="black", ls="--", lw=1.2, label="spread evenly")
    panels[0, 0].set(ylabel="attention on the first token\n(share)", ylim=(0, 1.02), title="linear")
    panels[0, 0].legend(frameon=False)
    panels[0, 1].set_title("the same on a log scale")
    set_log_scale(panels[0, 1])
    for axes in panels[1]:
        axes.fill_between(position, shown["n_documents"], color=ASIDE_COLOUR, alpha=0.5, lw=0)
        axes.set(xlabel="position of the query (tokens)", ylim=(0, None))
    panels[1, 0].set_ylabel("documents")
    scale = ScalarMappable(Normalize(layers.min(), layers.max()), SEQUENTIAL)
    figure.colorbar(scale, ax=list(panels[0]), label="layer", pad=0.01)
    return figure


def draw_first_by_position_heads(in_text: xr.Dataset, min_documents: int = 10) -> Figure:
    """The same for every head: a panel for each head's number, position by layer."""
    shown = _reached(in_text, min_documents)
    n_heads = shown.sizes[HEAD]
    columns = int(np.ceil(np.sqrt(n_heads)))
    rows = -(-n_heads // columns)
    figure = new_figure(1.6 + max(2.2, 8.8 / columns) * columns, 0.8 + max(1.9, 5.6 / rows) * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    position, layers = shown[POSITION].values, shown[LAYER].values
    norm = PowerNorm(0.5, 0, 1)
    edges = position[0] - 0.5, position[-1] + 0.5, layers[0] - 0.5, layers[-1] + 0.5
    for axes, head in zip(panels.flat, shown[HEAD].values, strict=False):
        values = shown["first_by_position"].sel({HEAD: head}).transpose(LAYER, POSITION)
        look = {"aspect": "auto", "origin": "lower", "interpolation": "nearest"}
        image = axes.imshow(values, cmap=SEQUENTIAL, norm=norm, extent=edges, **look)
        axes.set_title(f"head {head}")
        axes.set_yticks(thinned(layers, 7))
        axes.grid(False)
    for axes in panels.flat[n_heads:]:
        axes.set_axis_off()
    figure.supxlabel("position of the query (tokens)", fontsize="medium")
    figure.supylabel("layer", fontsize="medium")
    bar = figure.colorbar(
        image, ax=panels, label="attention on the first token (share), square-root scale", pad=0.01
    )
    bar.set_ticks([0, 0.05, 0.2, 0.4, 0.6, 0.8, 1])
    return figure


def draw_variability(variability: xr.Dataset) -> Figure:
    """Attention variability of every head, over all that it attends to and over all but the first token.

    Parameters
    ----------
    variability : Dataset
        As `strata.attention.patterns.variability` returns it.
    """
    names = {
        "variability": "all of a head's attention",
        "variability_beyond_first": "without attention on the first token",
    }
    figure, panels = _new_maps(variability, len(names))
    highest = max(float(variability[name].max()) for name in names)
    for axes, (name, title) in zip(panels, names.items(), strict=True):
        image = _draw_map(axes, variability[name], Normalize(0, highest))
        axes.set_title(title)
    panels[-1].set_xlabel("layer")
    label = "attention variability\n(0: position alone decides)"
    figure.colorbar(image, ax=panels, label=label, pad=0.01, aspect=30)
    n_first, n = variability.attrs["n_first"], int(variability["n_texts"])
    figure.suptitle(f"first {n_first} positions of {n:,} texts", fontsize="medium")
    return figure


def draw_outsized(channels: xr.Dataset, in_text: xr.Dataset) -> Figure:
    """Channels with outsized values at the first position, and what else they are.

    Left, every channel's mean |h| there, the median channel being 1; middle, the same over that at other
    positions; right, overlap with the sets of channels known from the weights, and with as many channels
    drawn at random.

    Parameters
    ----------
    channels, in_text : Dataset
        As `strata.attention.patterns.outsized_channels` and `over_text` return them.
    """
    figure = new_figure(15, 5.2)
    panels = figure.subplots(1, 3, width_ratios=(1.2, 1.2, 1))
    first, ratio = in_text["magnitude_first"], channels["relative_magnitude"]
    sizes = first / first.median(CHANNEL), ratio / ratio.median(CHANNEL)
    often = channels["outsized"].sum(DEPTH).values
    order = np.lexsort((-sizes[0].max(DEPTH).values, -often))
    named = [c for c in order if often[c]][:MAX_NAMED]
    looks = line_looks([str(channels[CHANNEL].values[c]) for c in named])
    limits = channels.attrs["among_channels"], channels.attrs["among_positions"]
    titles = (
        "mean |h| at position 0\n(median channel = 1)",
        "mean |h| at position 0 over that at others\n(median channel = 1)",
    )
    depths = first[DEPTH].values
    for axes, size, limit, title in zip(panels, sizes, limits, titles, strict=False):
        values = size.transpose(DEPTH, CHANNEL).values
        quiet = np.setdiff1d(np.arange(values.shape[1]), named)
        axes.plot(depths, values[:, quiet], color=NO_VALUE_COLOUR, lw=0.5, rasterized=True)
        for channel, (name, look) in zip(named, looks.items(), strict=True):
            axes.plot(depths, values[:, channel], **look, ms=4, lw=1.5, label=_channel_label(channels, name))
        axes.axhline(limit, color="black", ls="--", lw=1)
        axes.set(yscale="log", title=title)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylim(max(values.min(), values.max() / 1e4) / 1.5, values.max() * 1.5)
        axes.set_xticks(thinned(depths), thinned(depths))
        axes.set_xlabel("depth (blocks applied)")
    if named:
        figure.legend(
            *panels[0].get_legend_handles_labels(), ncols=4, frameon=False, loc="outside upper left"
        )
    _draw_overlap(panels[2], channels)
    return figure


def _channel_label(channels: xr.Dataset, name: str) -> str:
    short = {"norm1_gain": "norm 1", "norm2_gain": "norm 2", "position": "position"}
    member = channels["in_set"].sel({CHANNEL: int(name)})
    sets = [told for s, told in short.items() if bool(member.sel({CHANNEL_SET: s}))]
    return f"channel {name}" + (f" ({', '.join(sets)})" if sets else "")


def _draw_overlap(axes: Axes, channels: xr.Dataset) -> None:
    n_outsized = int(channels["outsized_overall"].sum())
    for place, name in enumerate(CHANNEL_SETS):
        at = channels.sel({CHANNEL_SET: name})
        n_set, found, expected = (
            int(at["in_set"].sum()),
            int(at["n_overlap_overall"]),
            float(at["n_expected_overall"]),
        )
        axes.bar(place - 0.2, found, 0.4, color=LINE_COLOURS[0], label="observed" if not place else None)
        axes.bar(place + 0.2, expected, 0.4, color=NO_VALUE_COLOUR, label="by chance" if not place else None)
        told = f"{found} of {n_set}" + (
            f"\np = {float(at['p_overlap_overall']):.2g}" if n_set and n_outsized else ""
        )
        axes.annotate(
            told,
            (place, max(found, expected)),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize="small",
        )
    axes.set_xticks(range(len(CHANNEL_SETS)), list(CHANNEL_SETS.values()), fontsize="small")
    axes.set(ylabel="channels", title=f"the {n_outsized} outsized channels among known ones")
    axes.set_ylim(0, max(2.0, 1.35 * float(channels["n_overlap_overall"].max())))
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="x", visible=False)
    axes.legend(frameon=False, fontsize="small", loc="upper right")
    told = f"in at least {channels.attrs['share']:.0%} of depths, or of layers"
    axes.set_xlabel(f"{told}\n{channels.attrs['position_set']}", fontsize="small")


# Shared -------------------------------------------------------------------------------------


def _new_maps(data: xr.Dataset, n: int, height_of_first: float | None = None) -> tuple[Figure, np.ndarray]:
    """A figure of ``n`` maps of layer by head, one above the other; the first may be another panel."""
    n_layers, n_heads = data.sizes[LAYER], data.sizes[HEAD]
    heights = [max(1.5, 0.15 * n_heads + 0.6)] * n
    if height_of_first is not None:
        heights[0] = height_of_first
    figure = new_figure(float(np.clip(2.2 + 0.62 * n_layers, 7, 13)), 0.9 + sum(heights))
    panels = figure.subplots(n, 1, sharex=True, height_ratios=heights)
    for axes in panels:
        _set_layers(axes, data[LAYER].values)
        axes.set_xlabel("")
    return figure, panels


def _draw_map(axes: Axes, values: xr.DataArray, norm: Normalize) -> AxesImage:
    """A map of layer by head, with numbers in the cells where there is room."""
    cells = values.transpose(HEAD, LAYER).values
    cmap = matplotlib.colormaps[SEQUENTIAL].with_extremes(bad=NO_VALUE_COLOUR)
    image = axes.imshow(cells, aspect="auto", origin="lower", cmap=cmap, norm=norm, interpolation="nearest")
    if cells.size <= MAX_NUMBERED:
        colours = image.to_rgba(np.ma.masked_invalid(cells))
        for head, layer in np.ndindex(cells.shape):
            told = f"{cells[head, layer]:.2f}".removeprefix("0") if np.isfinite(cells[head, layer]) else ""
            look = {"ha": "center", "va": "center", "fontsize": 8, "color": ink_on(colours[head, layer])}
            axes.text(layer, head, told, **look)
    axes.set_yticks(thinned(values[HEAD].values))
    axes.set_ylabel("head")
    axes.grid(False)
    return image


def _draw_band(axes: Axes, at: xr.Dataset, name: str, along: str, **look) -> None:
    """A variable along a dimension in its interval."""
    curves = [at[name + end].to_series() for end in ("", "_low", "_high")]
    draw_curve(axes, *curves, **{"marker": "o", "markevery": marks(at[along].values)} | look)


def _reached(in_text: xr.Dataset, min_documents: int) -> xr.Dataset:
    """The positions that enough documents reach, all if that is none."""
    enough = np.flatnonzero(in_text["n_documents"].values >= min_documents)
    return in_text.isel({POSITION: enough}) if len(enough) else in_text


def _shades(layers: np.ndarray) -> np.ndarray:
    return matplotlib.colormaps[SEQUENTIAL]((layers - layers.min()) / max(np.ptp(layers), 1))


def _set_layers(axes: Axes, layers: np.ndarray) -> None:
    axes.set_xlabel("layer")
    axes.set_xticks(thinned(layers))
