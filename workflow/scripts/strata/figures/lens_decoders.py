"""Figures that set decoders side by side, and models."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from strata.figures.curves import draw_curve, marks, set_depth_ticks, set_log_scale
from strata.figures.lens import NORMS, decoded_by
from strata.figures.style import DECODER_COLOURS, as_written, category_colours, line_looks, new_figure
from strata.lens.comparison import (
    agreement,
    at_whole_depths,
    bits_of_target,
    kl_to_final,
    mean_and_interval,
    prompt_means,
)
from strata.lens.names import DECODER, REFERENCE
from strata.names import ALL, CATEGORY, DEPTH

TITLES = {
    "bits_of_target": "true next token [bit]",
    "kl_final": "KL(final ‖ depth) [nat], log scale",
    "agreement": "top guess is the final one [share of tokens]",
}


def draw_decoders(table: pd.DataFrame) -> Figure:
    """Decoders by depth: bits of the true next token, KL to the final distribution, agreement.

    Above all prompts together, below each category; one line a decoder through whole depths (marked) and
    what half-depths it reads, in its bootstrap interval.

    Parameters
    ----------
    table : DataFrame
        As `strata.lens.comparison.compare` returns it.
    """
    categories = [ALL, *(c for c in table[CATEGORY].unique() if c != ALL)]
    looks = line_looks(table["decoder"].unique(), DECODER_COLOURS)
    heights = [2.2] + [1] * (len(categories) - 1)
    figure = new_figure(12, 1.6 + 1.55 * sum(heights))
    panels = figure.subplots(
        len(categories), len(TITLES), squeeze=False, sharex=True, sharey="col", height_ratios=heights
    )
    for (category, metric), part in table.groupby([CATEGORY, "metric"]):
        axes = panels[categories.index(category), list(TITLES).index(metric)]
        # The last depth is the final distribution: at 0, which has no place on a log scale.
        shown = part[part[DEPTH] < part[DEPTH].max()] if metric == "kl_final" else part
        for decoder, look in looks.items():
            line = shown[shown["decoder"] == decoder].set_index(DEPTH)
            look = look | {"label": decoder, "markevery": marks(line.index), "ms": 3}
            draw_curve(axes, line["mean"], line["low"], line["high"], **look)
    for column, metric in enumerate(TITLES):
        _set_scale(panels[:, column], metric, table)
        panels[0, column].set_title(TITLES[metric])
        set_depth_ticks(panels[-1, column], table[DEPTH].unique())
    counts = table.groupby(CATEGORY)["n_prompts"].max()
    for row, category in zip(panels, categories, strict=True):
        told = "all prompts" if category == ALL else category.replace("_", " ")
        row[0].set_ylabel(f"{told}\n({counts[category]})", parse_math=False)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    title = f"decoder, {NORMS[table['norm'].iloc[0]]}"
    figure.legend(handles, labels, title=title, ncols=4, frameon=False, loc="outside upper center")
    told = "mean over prompts (their number in brackets), bands: bootstrap intervals over prompts"
    figure.supxlabel(told, fontsize="small")
    return figure


def _set_scale(panels: np.ndarray, metric: str, table: pd.DataFrame) -> None:
    """The scale that a column of panels shares."""
    if metric == "agreement":
        panels[0].set_ylim(-0.02, 1.02)
    elif metric == "kl_final":
        set_log_scale(*panels)
    else:
        # The embeddings' own readout says the input, at a cost that would flatten all the rest.
        later = table[(table["metric"] == metric) & (table[DEPTH] >= 1)]
        panels[0].set_ylim(0, 1.05 * later[["mean", "high"]].max(axis=None))


def draw_divergence(table: pd.DataFrame, decoder: str) -> Figure:
    """Mean KL(final ‖ depth), and the share of top guesses that are final already, by category.

    Each with its bootstrap interval. Lines have marks at the whole depths, and go through the half-depths
    (after attention, before the MLP) where the decoder reads them.

    Parameters
    ----------
    table : DataFrame
        As `strata.lens.comparison.compare` returns it.
    """
    table = table[(table["decoder"] == decoder) & (table[CATEGORY] != ALL)]
    figure = new_figure(11, 4.8)
    panels = figure.subplots(1, 2, sharex=True)
    for axes, metric in zip(panels, ("kl_final", "agreement"), strict=True):
        part = table[table["metric"] == metric]
        # The last depth is the final distribution: at 0, which has no place on a log scale.
        shown = part[part[DEPTH] < part[DEPTH].max()] if metric == "kl_final" else part
        for category, colour in category_colours(part[CATEGORY].unique()).items():
            line = shown[shown[CATEGORY] == category].set_index(DEPTH)
            label = f"{category.replace('_', ' ')} ({line['n_prompts'].iloc[0]})"
            look = {"color": colour, "marker": "o", "markevery": marks(line.index), "label": label}
            draw_curve(axes, line["mean"], line["low"].clip(lower=0), line["high"], **look)
        set_depth_ticks(axes, part[DEPTH].unique())
    set_log_scale(panels[0])
    panels[0].set(ylabel="KL(final ‖ depth) [nat], log scale")
    panels[0].set_title("distance from the final distribution (0 at the end)")
    panels[1].set(ylabel="share of tokens", ylim=(-0.02, 1.02))
    panels[1].set_title("top guess is the final one already")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, title="category (prompts)", frameon=False, loc="outside right upper")
    figure.suptitle(f"{decoder} lens, {NORMS[table['norm'].iloc[0]]}", fontsize="medium")
    told = "mean over prompts, bands: bootstrap intervals over what they ask"
    figure.supxlabel(told, fontsize="small")
    return figure


def draw_contextless(contextless: xr.Dataset) -> Figure:
    """Readouts by depth against the bigram and the unigram distribution, one line a decoder.

    Parameters
    ----------
    contextless : Dataset
        As `strata.lens.contextless.measure` returns it.
    """
    told = {"bigram": "bigram: what follows the token", "unigram": "unigram: what is frequent"}
    measures = {
        "kl": "KL(reference ‖ readout) [nat], log scale",
        "top_shared": "top guess is the reference's [share of tokens]",
    }
    looks = line_looks(contextless[DECODER].values, DECODER_COLOURS)
    figure = new_figure(11, 7.5)
    panels = figure.subplots(len(told), len(measures), sharex=True, sharey="col")
    for row, (reference, title) in zip(panels, told.items(), strict=True):
        part = contextless.sel({REFERENCE: reference})
        row[0].set_ylabel(f"{title}\n(true next token: {float(part['bits']):.1f} bit)")
        for axes, measure in zip(row, measures, strict=True):
            for decoder, look in looks.items():
                ends = (measure, f"{measure}_low", f"{measure}_high")
                mean, low, high = (part[name].sel({DECODER: decoder}).to_series() for name in ends)
                draw_curve(axes, mean, low, high, **look | {"label": decoder, "markevery": marks(mean.index)})
    for column, title in enumerate(measures.values()):
        panels[0, column].set_title(title)
        set_depth_ticks(panels[-1, column], contextless[DEPTH].values)
    set_log_scale(*panels[:, 0])
    panels[0, 1].set_ylim(-0.02, 1.02)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    title = f"decoder, {NORMS[contextless.attrs['norm']]}"
    figure.legend(handles, labels, title=title, ncols=4, frameon=False, loc="outside upper center")
    figure.supxlabel(
        f"{int(contextless['n_read']):,} tokens of {int(contextless['kl_n'])} held-out documents; "
        f"{int(contextless['n_counted']):,} pairs counted in others.\nMean over documents, bands: "
        f"{contextless.attrs['interval']:.0%} bootstrap intervals over documents",
        fontsize="small",
    )
    return figure


def draw_models(lenses: Mapping[str, xr.Dataset]) -> Figure:
    """Models by relative depth: bits of the true next token, KL(final ‖ depth), how often the guess is final.

    One line a model, at whole depths d / L, in its interval over what prompts ask.

    Parameters
    ----------
    lenses : mapping
        Name of a model to its lens (depth, token, k), all of one decoder and norm.

    Raises
    ------
    ValueError
        If the lenses are of several decoders or norms.
    """
    made = sorted({decoded_by(lens) for lens in lenses.values()})
    if len(made) != 1:
        raise ValueError(f"models are compared with one decoder and norm, not {'; '.join(made)}")
    figure = new_figure(15, 4.8)
    panels = figure.subplots(1, 3, sharex=True)
    for name, look in line_looks(lenses).items():
        whole = at_whole_depths(lenses[name])
        n_layers = whole.sizes[DEPTH] - 1
        _draw_model(panels[0], prompt_means(bits_of_target(whole)), n_layers, name, look)
        _draw_model(panels[1], prompt_means(kl_to_final(whole)).iloc[:, :-1], n_layers, name, look)
        _draw_model(panels[2], prompt_means(agreement(whole)), n_layers, name, look)
    for axes in panels[:2]:
        set_log_scale(axes)
    panels[0].set(ylabel="true next token [bit], log scale", title="surprise at the true next token")
    panels[1].set(ylabel="KL(final ‖ depth) [nat], log scale")
    panels[1].set_title("distance from the final distribution (0 at the end)")
    panels[2].set(ylabel="share of tokens", ylim=(-0.02, 1.02))
    panels[2].set_title("top guess is the final one already")
    for axes in panels:
        axes.set_xlabel("relative depth d / L")
    handles, labels = panels[0].get_legend_handles_labels()
    as_written(
        figure.legend(
            handles, labels, title="model (layers, prompts)", frameon=False, loc="outside right upper"
        )
    )
    figure.suptitle(made[0], fontsize="medium")
    figure.supxlabel(
        "mean over prompts, bands: 95 % bootstrap intervals over what they ask", fontsize="small"
    )
    return figure


def _draw_model(axes: Axes, means: pd.DataFrame, n_layers: int, name: str, look: dict[str, str]) -> None:
    """One line of ``means``: rows (category, prompt), a column each depth."""
    look = look | {"label": f"{name} ({n_layers}, {len(means)})", "markevery": marks(means.columns)}
    means = means.set_axis(means.columns / n_layers, axis="columns")
    mean, low, high = mean_and_interval(means)
    draw_curve(axes, mean, low.clip(lower=0), high, **look)
