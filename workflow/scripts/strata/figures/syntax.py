"""Figures of syntax by depth (`strata.probes.syntax`) and of what triggers MLP keys (`strata.keys`)."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from strata.figures.curves import draw_curve, marks, set_depth_ticks
from strata.figures.style import ASIDE_COLOUR, LINE_COLOURS, new_figure
from strata.keys.names import KEY
from strata.names import DEPTH, LABEL, LAYER, TARGET

OWN, CONTROL, *_ = LINE_COLOURS
WORDS = {
    "tag": "part of speech",
    "relation": "relation",
    "role": "role of the phrase",
    "token": "token",
    "next token": "next token",
    "next tag": "next part of speech",
    "kind": "kind of text",
}
WHOSE = {"input": "current", "next": "next"}
PAIRS = {"agreement": "all pairs", "beyond_token": "pairs whose tokens differ"}
WHOSE_COLOURS = {"input": "#0072B2", "next": "#D55E00"}
CENTRES = {
    "gain_centre": ("gained in all", {"marker": "o"}),
    "context_centre": ("gained after the first depth", {"marker": "D", "markerfacecolor": "white"}),
    "loss_centre": ("lost", {"marker": "s"}),
}
PANELS = {
    "the token": {"token": "#0072B2", "next token": "#D55E00"},
    "the word's place in its sentence": {"tag": "#0072B2", "next tag": "#D55E00", "role": "#009E73"},
    "the kind of text": {"kind": "#0072B2"},
}
COUNT_COLOURS = {"token": "#000000", "tag": "#CC79A7"}


def draw_accuracy(probes: xr.Dataset) -> Figure:
    """Held-out accuracy by depth of probes for labels and tokens, current and next, with their baselines.

    Parameters
    ----------
    probes : Dataset
        As `strata.probes.syntax.analyse` returns it; so for `draw_centres`.
    """
    probes = probes.load()
    n_rows, n_columns = probes.sizes[TARGET], probes.sizes[LABEL]
    figure = new_figure(3.5 * n_columns, 0.9 + 2.9 * n_rows)
    panels = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for row, target in zip(panels, probes[TARGET].values, strict=True):
        for axes, label in zip(row, probes[LABEL].values, strict=True):
            part = probes.sel({TARGET: target, LABEL: label})
            _draw_line(axes, part, DEPTH, "accuracy", label="probe", color=OWN)
            look = {"color": CONTROL, "marker": "s", "linestyle": "--"}
            if part["control_accuracy"].notnull().any():
                _draw_line(axes, part, DEPTH, "control_accuracy", label="control task", **look)
            look = {"color": ASIDE_COLOUR, "lw": 1.2}
            axes.axhline(float(part["given_token"]), **look, label="usual label of the current token")
            axes.axhline(
                float(part["most_frequent"]), **look, ls="--", label="always the most frequent label"
            )
            axes.set_title(f"{_named(target, label)} ({int(part['n_classes']):,})")
        row[0].set_ylabel("accuracy (share of tokens)")
    panels[0, 0].set_ylim(-0.02, 1.02)
    for axes in panels[-1]:
        set_depth_ticks(axes, probes[DEPTH].values)
        axes.tick_params(axis="x", labelsize="small")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, ncols=4, frameon=False, loc="outside upper center")
    figure.supxlabel(
        "held-out tokens in contexts that were never trained on, in brackets how many labels there are; "
        f"{probes.attrs['interval']:.0%} intervals: bootstrap over documents",
        fontsize="small",
    )
    return figure


def draw_centres(probes: xr.Dataset) -> Figure:
    """The depths at which each label is gained and lost, the earliest on top, and how much of it."""
    probes = probes.load()
    tasks = [(target, label) for target in probes[TARGET].values for label in probes[LABEL].values]
    parts = [probes.sel({TARGET: target, LABEL: label}) for target, label in tasks]
    order = np.argsort([_sort_key(part) for part in parts])
    figure = new_figure(11, 1.7 + 0.42 * len(tasks))
    depths, amounts = figure.subplots(1, 2, sharey=True, width_ratios=(2.2, 1))
    for row, index in enumerate(order):
        part, colour = parts[index], WHOSE_COLOURS[tasks[index][0]]
        # A little apart, since gains in context are often close to gains in all.
        for (name, (_, look)), up in zip(CENTRES.items(), (0.14, -0.14, -0.14), strict=True):
            centre, low, high = (float(part[name + end]) for end in ("", "_low", "_high"))
            if np.isfinite(centre):
                depths.plot([low, high], [row - up] * 2, color=colour, lw=2)
                depths.plot(centre, row - up, color=colour, ms=6.5, mew=1.5, ls="none", **look)
        in_context = float(part["gained_in_context"])
        at_once = float(part["gained"]) - in_context
        amounts.barh(row, at_once, color=colour, alpha=0.35, height=0.6)
        amounts.barh(row, in_context, left=at_once, color=colour, height=0.6)
        amounts.barh(
            row, -float(part["lost"]), color=colour, hatch="////", edgecolor="white", lw=0, height=0.6
        )
    depths.set_yticks(range(len(tasks)), [_named(*tasks[index]) for index in order])
    depths.invert_yaxis()
    set_depth_ticks(depths, probes[DEPTH].values)
    depths.set_xlim(probes[DEPTH].values[0] - 0.4, probes[DEPTH].values[-1] + 0.4)
    depths.set_title("where accuracy is gained and lost")
    amounts.axvline(0, color="black", lw=0.8)
    amounts.set(xlabel="accuracy (share of tokens)", title="how much: lost, at once, later")
    amounts.set_xlim(min(-0.05, amounts.get_xlim()[0]), 1)
    amounts.grid(False, axis="y")
    black = {"color": "black", "ls": "none", "ms": 6.5, "mew": 1.5}
    handles = [Line2D([], [], label=label, **black, **look) for label, look in CENTRES.values()]
    handles += [Patch(color=colour, label=WHOSE[target]) for target, colour in WHOSE_COLOURS.items()]
    figure.legend(handles=handles, ncols=5, frameon=False, loc="outside upper center")
    told = (
        f"{probes.attrs['interval']:.0%} intervals: bootstrap over documents; none where too little changes"
    )
    figure.supxlabel(told, fontsize="small")
    return figure


def draw_keys(keys: xr.Dataset) -> Figure:
    """What the strongest triggers of a key have in common, mean over keys by layer, and silent keys.

    Parameters
    ----------
    keys : Dataset
        As `strata.keys.agreement.describe` returns it.
    """
    keys = keys.load()
    known = set(keys[LABEL].values.tolist())
    shown = {title: labels for title, labels in PANELS.items() if known & set(labels)}
    figure = new_figure(3.6 * (len(shown) + 1), 7.2)
    panels = figure.subplots(2, len(shown) + 1, sharex=True)
    for row, (name, pairs) in zip(panels, PAIRS.items(), strict=True):
        for axes, (title, labels) in zip(row, shown.items(), strict=False):
            for label, colour in labels.items():
                # Pairs whose tokens differ agree in no token.
                if label in known and (name, label) != ("beyond_token", "token"):
                    part = keys.sel({LABEL: label})
                    part = part.where(part[f"{name}_n"] > 1)
                    _draw_line(axes, part, LAYER, f"{name}_mean", color=colour, label=WORDS[label])
                    chance = float(keys[f"{name}_chance"].sel({LABEL: label}))
                    axes.axhline(chance, color=colour, ls=":", lw=1.4)
            axes.set(title=f"{title}\n{pairs}", ylim=(-0.02, 1.02))
        row[0].set_ylabel("share of pairs of triggers that agree")
    for axes in panels[0, :-1]:
        axes.legend(fontsize="small", loc="best", frameon=True)
    silent, counted = panels[:, -1]
    silent.bar(keys[LAYER], keys["silent"], color=ASIDE_COLOUR)
    silent.set(title="keys that\nnothing makes answer", ylabel="share of keys", ylim=(0, 1.02))
    for label, colour in COUNT_COLOURS.items():
        if label in known:
            counts = keys["agreement_n"].sel({LABEL: label})
            counted.plot(counts[LAYER], counts, marker="o", ms=3.5, color=colour, label=WORDS[label])
    counted.set(title="keys in the means\nall pairs", ylabel="keys", ylim=(0, None))
    counted.legend(fontsize="small", loc="best", frameon=True)
    for axes in panels[-1]:
        axes.set_xlabel("layer")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
    interval, k = keys.attrs["interval"], keys.attrs["n_triggers"]
    told = (
        f"the {k} strongest triggers of each key, each of another document; dotted: pairs of random contexts"
    )
    figure.supxlabel(
        f"{told}; {interval:.0%} intervals: bootstrap over {keys.sizes[KEY]} keys a layer",
        fontsize="small",
    )
    return figure


def _named(target: str, label: str) -> str:
    return f"{WHOSE[target]} token" if label == "token" else f"{WHOSE[target]} word: {WORDS[label]}"


def _sort_key(part: xr.Dataset) -> float:
    """By where it is gained, those that never are at the end."""
    centre = float(part["gain_centre"])
    return centre if np.isfinite(centre) else np.inf


def _draw_line(axes: Axes, values: xr.Dataset, along: str, name: str, **look) -> None:
    """A variable in its interval."""
    curves = (values[name + end].reset_coords(drop=True).to_series() for end in ("", "_low", "_high"))
    draw_curve(axes, *curves, **{"marker": "o", "markevery": marks(values[along].values)} | look)
