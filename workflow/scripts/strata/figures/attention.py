"""Figures of where attention goes (`strata.attention`).

Layers lie along the x axis throughout. All heads of a model are shown as a map of layer by head: twelve
layers of four heads get their numbers in the cells, and 48 layers of 25 heads are still one sheet.
"""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from strata.attention.names import HEADS
from strata.figures.curves import draw_curve, marks, set_log_scale
from strata.figures.head_maps import draw_map, new_maps, set_layers
from strata.figures.style import (
    ASIDE_COLOUR,
    LINE_COLOURS,
    category_colours,
    line_looks,
    new_figure,
)
from strata.figures.told import estimate
from strata.names import (
    ALL,
    CATEGORY,
    HEAD,
    LAYER,
    NOISE,
    PROMPT,
    SITE,
)
from strata.stats.seeding import generator

SITES = {"first": "first token", "subject": "subject", "final": "final token (itself)"}
HEAD_CHOICES = {"mean": "mean of the heads", "best": "head that attends the most"}
HEAD_COLOURS = {"mean": LINE_COLOURS[0], "best": LINE_COLOURS[1]}
CASING = [withStroke(linewidth=3, foreground="white")]  # lines seen on every colour of a map


def draw_final_token(attention: xr.Dataset) -> Figure:
    """The final token's attention on first token, subject and itself: linear, and the same on a log scale.

    Parameters
    ----------
    attention : Dataset
        As `strata.attention.final_token.analyse` returns it; so for `draw_sink` and
        `draw_subject_peak`.
    """
    attention = attention.load()
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
        set_layers(axes, attention[LAYER].values)
    keys = panels[0, 0].get_legend_handles_labels()
    figure.legend(
        *keys,
        title="category (prompts)",
        ncols=min(7, len(colours)),
        frameon=False,
        loc="outside upper center",
    )
    told = f"means over heads and prompts; bands: {attention.attrs['interval']:.0%} bootstrap intervals"
    figure.supxlabel(told, fontsize="small")
    return figure


def draw_sink(attention: xr.Dataset, in_text: xr.Dataset | None = None) -> Figure:
    """Attention on the first token by layer with its onset and release, over the entropy of every head.

    Parameters
    ----------
    in_text : Dataset, optional
        As `strata.attention.over_text.over_text` returns it: text, drawn with the prompts.
    """
    at = attention.sel({CATEGORY: ALL})
    layers = attention[LAYER].values
    first = at["attention_by_head"].sel({SITE: "first"})
    figure, panels = new_maps(at, 2 if in_text is None else 3, height_of_first=3.2)
    for choice, share in {"mean": first.mean(HEAD), "best": first.max(HEAD)}.items():
        look = {"color": HEAD_COLOURS[choice], "marker": "o", "ms": 3.5, "lw": 1.6}
        panels[0].plot(layers, share, **look, label=f"prompts, {HEAD_CHOICES[choice]}")
        for end in ("onset", "release"):
            value = float(at[end].sel({HEADS: choice}))
            for axes in panels[:2]:
                axes.axvline(value, color=HEAD_COLOURS[choice], ls="--", lw=1.4, path_effects=CASING)
    if in_text is not None:
        for choice, told in HEAD_CHOICES.items():
            look = {"color": HEAD_COLOURS[choice], "marker": "s", "mfc": "white", "lw": 1.2, "ls": ":"}
            at_choice = in_text.sel({HEADS: choice})
            _draw_band(panels[0], at_choice, "first_of_heads_in_text", LAYER, **look, label=f"text, {told}")
            for end in ("onset_in_text", "release_in_text"):
                value = float(in_text[end].sel({HEADS: choice}))
                panels[2].axvline(value, color=HEAD_COLOURS[choice], ls=":", lw=1.8, path_effects=CASING)
    panels[0].set(ylabel="attention on the first token\n(share)", ylim=(0, None))
    figure.legend(frameon=False, fontsize="small", ncols=2, loc="outside upper center")
    panels[0].set_title("dashed and dotted: onset and release, at half of the maximum beyond an even spread")
    image = draw_map(panels[1], at["entropy_relative"], Normalize(0, 1))
    panels[1].set_title(f"entropy of the final token's attention, {int(at['entropy_relative_n'])} prompts")
    if in_text is not None:
        draw_map(panels[2], in_text["entropy_in_text"], Normalize(0, 1))
        n, skip = int(in_text["n_tokens_in_text"]), int(in_text.attrs["skip"])
        panels[2].set_title(f"entropy of attention in text, {n:,} tokens from position {skip} on")
    panels[-1].set_xlabel("layer")
    figure.colorbar(image, ax=panels[1:], label="entropy (1: spread evenly)", pad=0.01, aspect=30)
    return figure


def draw_subject_peak(attention: xr.Dataset, noise: str) -> Figure:
    """The layer in which the final token attends the most to the subject, against the transition depth.

    A row for the mean over heads and one for the best head. Left, prompts, with their transitions under
    one noise level; right, rank correlations by category under every level, with their intervals.
    """
    attention = attention.load()
    figure = new_figure(10.5, 8.6)
    panels = figure.subplots(len(HEAD_CHOICES), 2)
    colours = category_colours(attention[CATEGORY].values)
    jitter = generator(0).uniform(-0.3, 0.3, attention.sizes[PROMPT])
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
    n = int(at["rho_n"])
    return f"ρ = {estimate(at, 'rho')}, n = {n}" if np.isfinite(at["rho"]) else f"no correlation, n = {n}"


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


def _draw_band(axes: Axes, at: xr.Dataset, name: str, along: str, **look) -> None:
    """A variable along a dimension in its interval."""
    curves = [at[name + end].to_series() for end in ("", "_low", "_high")]
    draw_curve(axes, *curves, **{"marker": "o", "markevery": marks(at[along].values)} | look)
