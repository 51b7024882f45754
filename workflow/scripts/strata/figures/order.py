"""Figures of the order in which categories reach the final token (`strata.trace.order`)."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from strata.figures.style import LINE_COLOURS, SITE_COLOURS, category_colours, new_figure, new_notice
from strata.figures.trace_panels import (
    GREY,
    SITE_LABELS,
    category_name,
    draw_band,
    folded,
    hide_empty,
    label_axis,
    noise_name,
    shared_legend,
)
from strata.names import CATEGORY, DEPTH, LAYER, NOISE, SITE

NOTHING = "Fewer than two categories of average.order have traced prompts: there is nothing to compare."
TERMS = {
    "distance": "distance, subject to final token",
    "logit_clean": "clean probability (logit)",
    "log_target_count": "frequency of target (log)",
    "log_subject_count": "frequency of subject (log)",
    "log_position": "subject's position (log)",
    "several_tokens": "subject of several tokens",
}


def draw_transitions(averages: xr.Dataset) -> Figure:
    """Transition depth of every prompt by category, with the mean and its interval; noise as facets."""
    averages = averages.load()
    categories = averages[CATEGORY].values
    colours = category_colours(categories)
    columns, places = folded(averages[NOISE].values)
    blocks = -(-averages.sizes[NOISE] // columns)
    figure = new_figure(max(6.5, 0.6 + 4.1 * columns), 0.7 + 3.4 * blocks)
    panels = figure.subplots(blocks, columns, squeeze=False, sharey=True)
    of_prompt = averages["prompt_category"].values
    for level, place in places.items():
        axes, at = panels[place], averages.sel({NOISE: level})
        for x, category in enumerate(categories):
            depths = at["transition_depth"].values[of_prompt == category]
            defined = np.sort(depths[np.isfinite(depths)])
            axes.scatter(x + _spread(len(defined)), defined, s=10, color=colours[category], alpha=0.6, lw=0)
            mean, low, high = (
                float(at[f"transition_{name}"].sel({CATEGORY: category})) for name in ("mean", "low", "high")
            )
            axes.plot([x - 0.38, x + 0.38], [mean, mean], color="black", lw=1.5)
            axes.plot([x, x], [low, high], color="black", lw=3)
            without = len(depths) - len(defined)
            told = f"{len(defined)}" + (f"\n{without} w/o" if without else "\n")
            axes.text(x, 0.02, told, transform=axes.get_xaxis_transform(), ha="center", fontsize="small")
        axes.set_xticks(
            range(len(categories)), [category_name(c) for c in categories], rotation=30, ha="right"
        )
        axes.set_xlim(-0.6, len(categories) - 0.4)
        axes.margins(y=0.2)
        axes.set_title(noise_name(level, averages))
        axes.grid(False, axis="x")
    hide_empty(panels)
    for axes in panels[:, 0]:
        axes.set_ylabel("transition depth")
    told = f"a dot is a prompt; bar: mean in its {averages.attrs['interval']:.0%} bootstrap interval; "
    figure.supxlabel(told + "below: prompts with a transition, and without", fontsize="small")
    return figure


def _spread(n: int) -> np.ndarray:
    """Offsets of ``n`` points that share a column, even and the same every time (golden ratio)."""
    return 0.6 * ((np.arange(n) * 0.618034) % 1 - 0.5)


def draw_order(order: pd.DataFrame) -> Figure:
    """The tests of the order of categories, what excluded prompts could make of them, and who is excluded.

    Left, the share of pairs in order, a row each test, in its interval; the thin line below leads from the
    least to the most that excluded prompts could make of it. Right, the share of prompts that noise leaves
    alone, by category.

    Parameters
    ----------
    order : DataFrame
        ``trace/order.tsv``.
    """
    tests = order[(order["statistic"] == "concordance") & order["value"].notna()]
    shares = order[order["statistic"] == "share excluded"]
    if tests.empty:
        return new_notice(NOTHING)
    rows = [(row.test, row.noise) for row in tests.itertuples()]
    figure = new_figure(12.5, 1.9 + 0.5 * len(rows))
    pairs, excluded = figure.subplots(1, 2, width_ratios=(1.3, 1))
    for y, row in enumerate(tests.itertuples()):
        same = (order["test"] == row.test) & (order["noise"] == row.noise) & (order["group"] == row.group)
        bounds = order.loc[same & order["statistic"].str.endswith("with excluded prompts anywhere"), "value"]
        if len(bounds):
            pairs.plot(bounds, [y + 0.28] * 2, color=LINE_COLOURS[1], lw=1.6, marker="|", ms=8)
        pairs.plot([row.low, row.high], [y] * 2, color="black", lw=3)
        pairs.plot(row.value, y, color="black", marker="o", ms=6)
        told = f"p = {row.p_adjusted:.2g}, n = {row.n}"
        pairs.text(1.01, y, told, transform=pairs.get_yaxis_transform(), va="center", fontsize="small")
    pairs.axvline(0.5, color=GREY, lw=1, ls="--")
    names = [
        f"{test.removeprefix('order, ').replace('order', 'all')}\n{noise_name(level)}" for test, level in rows
    ]
    pairs.set_yticks(range(len(rows)), names, fontsize="small")
    pairs.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5), xlabel="share of pairs in order (0.5: no order)")
    pairs.set_title(category_name(tests["group"].iloc[0]))
    levels, categories = (list(dict.fromkeys(shares[name])) for name in ("noise", "group"))
    colours = category_colours(categories)
    for x, level in enumerate(levels):
        at = shares[shares["noise"] == level]
        for row, shift in zip(at.itertuples(), np.linspace(-0.2, 0.2, max(len(at), 2)), strict=False):
            colour, label = colours[row.group], None if x else category_name(row.group)
            excluded.plot([x + shift] * 2, [row.low, row.high], color=colour, lw=2.5)
            excluded.plot(x + shift, row.value, color=colour, marker="o", ms=6, ls="", label=label)
    for row in order[order["statistic"] == "largest less smallest"].itertuples():
        told = f"p = {row.p_adjusted:.2g}"
        excluded.text(levels.index(row.noise), 1.0, told, ha="center", va="top", fontsize="small")
    excluded.set_xticks(range(len(levels)), [noise_name(n).replace(" × ", " ×\n") for n in levels])
    excluded.set(xlim=(-0.5, len(levels) - 0.5), ylim=(0, 1.02), ylabel="share of prompts excluded")
    excluded.set_title("noise takes too little")
    figure.legend(*excluded.get_legend_handles_labels(), ncols=5, frameon=False, loc="outside upper right")
    told = (
        "bars: intervals over facts; coloured: the least and the most that excluded prompts could make of it"
    )
    figure.supxlabel(f"{told}; p for all tests of a family, n facts", fontsize="small")
    return figure


def draw_regression(regression: pd.DataFrame) -> Figure:
    """Coefficients with their intervals as a forest plot; noise levels as facets.

    Filled: all regressors together. Hollow: category alone.

    Parameters
    ----------
    regression : DataFrame
        Of `strata.trace.regression.regression`.
    """
    if regression.empty:
        return new_notice(NOTHING)
    reference = regression.loc[regression["statistic"] == "reference", "group"].iloc[0]
    table = regression[regression["statistic"] == "coefficient"]
    terms = list(dict.fromkeys(table["group"]))
    columns, places = folded(dict.fromkeys(table["noise"]))
    blocks = -(-len(places) // columns)
    figure = new_figure(max(7.5, 2.8 + 3.4 * columns), 1.3 + (0.7 + 0.36 * len(terms)) * blocks)
    panels = figure.subplots(blocks, columns, squeeze=False, sharex=True, sharey=True)
    fits = {
        "regression": ("with confounders", "o", "black", 0.0),
        "regression, category alone": ("category alone", "o", "white", 0.28),
    }
    for level, place in places.items():
        axes, at = panels[place], table[table["noise"] == level]
        for fit, (name, marker, fill, shift) in fits.items():
            rows = at[(at["test"] == fit) & at["value"].notna()]
            y = np.array([terms.index(term) for term in rows["group"]]) + shift
            around = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
            axes.errorbar(
                rows["value"], y, xerr=around, fmt=marker, color="black", mfc=fill, ms=5, lw=1.4, label=name
            )
        axes.axvline(0, color=GREY, lw=1, ls="--")
        n = at.loc[at["test"] == "regression", "n"].max()
        axes.set_title(f"{noise_name(level)}, n = {n}")
        axes.set_yticks(range(len(terms)), [TERMS.get(term, category_name(term)) for term in terms])
        axes.set_ylim(len(terms) - 0.4, -0.6)
        axes.tick_params(labelbottom=True)
    hide_empty(panels)
    for axes in panels[-1]:
        axes.set_xlabel("depths")
    shared_legend(figure, panels, "coefficients (positive: a later transition)")
    told = (
        f"categories: against {category_name(reference)}; frequency, distance, …: for one standard deviation"
    )
    figure.supxlabel(told, fontsize="small")
    return figure


def draw_curve_difference(curves: pd.DataFrame, noise: str) -> Figure:
    """Differences of categories' restoration curves in bands for all depths together, two in each panel.

    Where a band leaves 0 out, the curves differ.

    Parameters
    ----------
    curves : DataFrame
        Of `strata.trace.curves.curve_differences`.
    noise : str
        The noise level drawn.
    """
    if curves.empty:
        return new_notice(NOTHING)
    axis = LAYER if LAYER in curves else DEPTH
    curves = curves[curves["noise"] == noise]
    columns, places = folded(dict.fromkeys(curves["group"]))
    blocks = -(-len(places) // columns)
    figure = new_figure(max(6.5, 0.6 + 4.1 * columns), 1.2 + 2.7 * blocks)
    panels = figure.subplots(blocks, columns, squeeze=False, sharex=True)
    for group, place in places.items():
        axes, at = panels[place], curves[curves["group"] == group]
        for site, line in at.groupby(SITE, sort=False):
            curve = (line[name] for name in (axis, "value", "low", "high"))
            draw_band(axes, *curve, SITE_COLOURS[site], SITE_LABELS[site])
        axes.axhline(0, color=GREY, lw=1, ls="--")
        reach = max(1.0, 1.05 * at[["value", "low", "high"]].abs().max(axis=None))
        axes.set_ylim(-reach, reach)
        axes.tick_params(labelleft=place[1] == 0 or reach > 1)
        p = at["p_adjusted"].min()
        told = f"smallest p {p:.2g}" if np.isfinite(p) else "too few facts"
        axes.set_title(f"{category_name(group)}\nn = {at['n'].max()}, {told}")
        axes.tick_params(labelbottom=True)
        label_axis(axes, at[axis].unique(), axis)
    hide_empty(panels)
    for axes in panels[:, 0]:
        axes.set_ylabel("difference of restoration")
    shared_legend(figure, panels, f"{noise_name(noise)}; bands for all depths together")
    return figure
