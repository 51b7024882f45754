"""Figures of causal traces: one prompt, averages by category, and tests of their order."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from strata.figures.style import (
    LINE_COLOURS,
    SEQUENTIAL,
    SITE_COLOURS,
    category_colours,
    new_figure,
    readable,
)
from strata.names import CATEGORY, DEPTH, LAYER, NOISE, SAMPLE, SITE, TOKEN_STR
from strata.trace.names import (
    MIN_GAP,
    N_TOKENS,
    SUBJECT_LENGTH,
    SUBJECT_POSITION,
    SUBJECT_START,
    SUBJECT_TOKEN,
)

SITE_LABELS = {"subject": "subject token", "final": "final token"}
AXIS_LABELS = {DEPTH: "depth of the restored state", LAYER: "layer around which a window is restored"}
RESTORATION = "restoration (0 corrupted, 1 clean)"
TERMS = {
    "distance": "distance, subject to final token",
    "logit_clean": "clean probability (logit)",
    "log_target_count": "frequency of target (log)",
    "log_subject_count": "frequency of subject (log)",
    "log_position": "subject's position (log)",
    "several_tokens": "subject of several tokens",
}
GREY = "#555555"
GAP_STYLES = (":", "-.", (0, (1, 4)), (0, (6, 1, 1, 1, 1, 1)))


def _axis(data: xr.Dataset) -> str:
    return LAYER if LAYER in data.dims else DEPTH


def _label(axes: Axes, at: np.ndarray, axis: str) -> None:
    """Ticks and label of the axis of depths or layers."""
    axes.set_xticks(at[:: -(-len(at) // 12)])
    axes.set_xlim(at[0] - 0.5, at[-1] + 0.5)
    axes.set_xlabel(AXIS_LABELS[axis])


def _columns(at: np.ndarray, n_rows: int) -> tuple[float, float, float, float]:
    """Extent of an image whose columns are centred on their depths, rows from the top."""
    return at[0] - 0.5, at[-1] + 0.5, n_rows - 0.5, -0.5


def _noise(level: str, data: xr.Dataset | None = None) -> str:
    """A level's name: a standard deviation ("0.5"), a multiple of the embeddings' own ("3x"), or
    what was done instead of noise ("replaced")."""
    times = str(level).removesuffix("x")
    if not times[:1].isdigit():
        return f"subject {level}"
    if times == str(level):
        return f"noise sd {level}"
    known = data is not None and "noise_sd" in data
    measured = f" = {float(data['noise_sd'].sel({NOISE: level})):.2g}" if known else ""
    return f"noise {times} × embedding sd{measured}"


def _count(cell: xr.Dataset) -> str:
    left_out = int(cell["n_excluded"])
    return f"n = {int(cell['n_prompts'])}" + (f", {left_out} left out" if left_out else "")


def _plain(category: str) -> str:
    return str(category).replace("_", " ")


def _say_if_empty(axes: Axes, cell: xr.Dataset) -> None:
    if not int(cell["n_prompts"]):
        text = "noise took too little from every prompt" if int(cell["n_excluded"]) else "no prompt has this"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize="small")


def _folded(levels: Iterable[str]) -> tuple[int, dict[str, tuple[int, int]]]:
    """Noise levels three abreast: how many columns, and each level's block of rows and column."""
    levels = list(levels)
    columns = min(3, len(levels))
    return columns, {level: divmod(i, columns) for i, level in enumerate(levels)}


def _hide_empty(panels: np.ndarray) -> None:
    for axes in panels.flat:
        axes.set_visible(axes.has_data())


def _legend(figure: Figure, panels: np.ndarray, title: str) -> None:
    """The labels of all panels, each once, above them."""
    keys = {}
    for axes in panels.flat:
        keys |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    columns = min(4, len(keys)) or 1
    figure.legend(keys.values(), keys, title=title, frameon=False, ncols=columns, loc="outside upper center")


def _bands(data: xr.Dataset) -> str:
    return f"bands: {data.attrs['interval']:.0%} bootstrap intervals"


# One prompt ---------------------------------------------------------------------------------


def draw_trace(trace: xr.Dataset) -> Figure:
    """One prompt: probability of the target with one state restored, by depth and token.

    ``trace`` is one prompt of trace/state.nc, or of a trace by layer; one panel for each noise level.
    Noised tokens are starred; tokens before them, where nothing can be restored, stand at the
    corrupted value. The title tells the top guess and the clean probability.
    """
    levels = trace[NOISE].values
    columns, places = _folded(levels)
    blocks = -(-len(levels) // columns)
    height = 0.8 + 0.36 * len(_restored_tokens(trace))
    figure = new_figure(1.5 + (5.0 if columns < 3 else 4.0) * columns, 0.7 + height * blocks)
    panels = figure.subplots(blocks, columns, squeeze=False, sharey=True)
    highest = _highest([trace])
    for level, place in places.items():
        image = _draw_probability(panels[place], trace.sel({NOISE: level}), highest)
        panels[place].set_title(_corrupted(trace, level), parse_math=False)
    _label_traces(figure, panels, trace, image)
    return figure


def draw_trace_windows(traces: Mapping[str, xr.Dataset], noise: str) -> Figure:
    """One prompt, what is restored side by side: states, outputs of windows of MLPs, of attention.

    Parameters
    ----------
    traces : mapping
        What each panel is called to one prompt's trace, by depth or by layer, the state's first.
    noise : str
        The noise level drawn.
    """
    state = next(iter(traces.values()))
    height = max(3.4, 1.5 + 0.36 * len(_restored_tokens(state)))
    figure = new_figure(1.5 + 4.0 * len(traces), height)
    panels = figure.subplots(1, len(traces), squeeze=False, sharey=True)
    highest = _highest([trace.sel({NOISE: [noise]}) for trace in traces.values()])
    for axes, (name, trace) in zip(panels[0], traces.items(), strict=True):
        image = _draw_probability(axes, trace.sel({NOISE: noise}), highest)
        axes.set_title(name, parse_math=False)
    _label_traces(figure, panels, state, image, f"\n{_corrupted(state, noise)}")
    return figure


def _restored_tokens(trace: xr.Dataset) -> list[str]:
    """From the subject on; noised ones are starred."""
    first, last = int(trace[SUBJECT_START]), int(trace[SUBJECT_POSITION])
    tokens = [readable(str(t)) for t in trace[TOKEN_STR].values[: int(trace[N_TOKENS])]]
    return [t + "*" if first <= i <= last else t for i, t in enumerate(tokens)][first:]


def _corrupted(trace: xr.Dataset, level: str) -> str:
    """A noise level and the probability that it leaves."""
    p = float(trace["p_corrupted"].sel({NOISE: level}).mean(SAMPLE))
    told = f"corrupted {p:.2f}" if np.isfinite(p) else "no other subject"
    return f"{_noise(level, trace)}: {told}"


def _highest(traces: Iterable[xr.Dataset]) -> float:
    return max(max(float(t["p_clean"]), float(t["p_target"].mean(SAMPLE).max())) for t in traces)


def _draw_probability(axes: Axes, trace: xr.Dataset, highest: float) -> AxesImage:
    """A trace of one prompt at one noise level."""
    tokens = slice(int(trace[SUBJECT_START]), int(trace[N_TOKENS]))
    p = trace["p_target"].mean(SAMPLE).transpose(_axis(trace), ...).values[:, tokens].T
    p = np.where(np.isnan(p), float(trace["p_corrupted"].mean(SAMPLE)), p)  # not noised: nothing to restore
    extent = _columns(trace[_axis(trace)].values, len(p))
    image = axes.imshow(p, aspect="auto", cmap=SEQUENTIAL, vmin=0, vmax=highest, extent=extent)
    _label(axes, trace[_axis(trace)].values, _axis(trace))
    axes.grid(False)
    return image


def _label_traces(
    figure: Figure, panels: np.ndarray, trace: xr.Dataset, image: AxesImage, told: str = ""
) -> None:
    labels = _restored_tokens(trace)
    _hide_empty(panels)
    for axes in panels[:, 0]:
        axes.set_yticks(range(len(labels)), labels)
        for label in axes.get_yticklabels():
            label.set_parse_math(False)
        axes.set_ylabel("restored token (* noised)")
    target = readable(str(trace["target"].values).replace(" ", "Ġ"))
    guess = readable(str(trace["top_str"].values))
    bar = figure.colorbar(image, ax=panels, pad=0.01)
    bar.ax.set_ylabel(f"p(“{target}”), mean of noise samples", parse_math=False)
    clean = f"top guess “{guess}”, clean p(“{target}”) = {float(trace['p_clean']):.2f}"
    figure.suptitle(clean + told, parse_math=False)


def draw_untraced(prompt: str) -> Figure:
    """What stands in the place of a trace that there is none of."""
    figure = new_figure(6.5, 1.5)
    text = f"{prompt}: not accepted on this model, see prompts.tsv for the reason."
    figure.text(0.5, 0.5, text, ha="center", va="center", parse_math=False)
    return figure


# By category --------------------------------------------------------------------------------


def draw_heatmap(averages: xr.Dataset) -> Figure:
    """Average normalised restoration of subject and final token: a panel for each category and noise."""
    categories, axis = averages[CATEGORY].values, _axis(averages)
    columns, places = _folded(averages[NOISE].values)
    n_rows = len(categories) * -(-averages.sizes[NOISE] // columns)
    figure = new_figure(1.5 + (5.0 if columns < 3 else 4.2) * columns, 0.8 + 1.05 * n_rows)
    panels = figure.subplots(n_rows, columns, squeeze=False, sharex=True, sharey=True)
    for level, (block, column) in places.items():
        for row, category in enumerate(categories):
            at = averages.sel({CATEGORY: category, NOISE: level})
            axes = panels[block * len(categories) + row, column]
            image = axes.imshow(
                at["restoration"].transpose(SITE, axis),
                aspect="auto",
                cmap=SEQUENTIAL,
                vmin=0,
                vmax=1,
                extent=_columns(averages[axis].values, averages.sizes[SITE]),
            )
            noise, size = (_noise(level, averages), 11) if columns < 3 else (_noise(level), 9)
            axes.set_title(f"{_plain(category)}, {noise} ({_count(at)})", fontsize=size, parse_math=False)
            _say_if_empty(axes, at)
            axes.set_yticks(range(2), [SITE_LABELS[s] for s in averages[SITE].values])
            axes.grid(False)
    _hide_empty(panels)
    for axes in panels[-1]:
        _label(axes, averages[axis].values, axis)
    figure.colorbar(image, ax=panels, label=RESTORATION, shrink=0.6, pad=0.01)
    return figure


def draw_lines(averages: xr.Dataset, by_gap: xr.Dataset | None = None) -> Figure:
    """The same as lines, with the mean transition depth, both with their bootstrap intervals.

    One block of rows for each noise level. The transition's interval is the grey band.

    Parameters
    ----------
    averages : Dataset
        Of `strata.trace.restoration.average_by_category`.
    by_gap : Dataset, optional
        Of `strata.trace.restoration.average_by_gap`: drawn beside as thin lines, without the rule that
        ``averages`` has already.
    """
    figure, panels, cells = _category_panels(averages, 2.7 if by_gap is None else 2.9)
    gaps = [] if by_gap is None else [g for g in by_gap[MIN_GAP].values if g != averages.attrs["min_gap"]]
    for axes, at in cells:
        others = {gap: by_gap.sel({MIN_GAP: gap, NOISE: at[NOISE], CATEGORY: at[CATEGORY]}) for gap in gaps}
        for (gap, other), style in zip(others.items(), GAP_STYLES, strict=False):
            for site in at[SITE].values:
                curve = other["restoration"].sel({SITE: site})
                axes.plot(curve[_axis(at)], curve, color=SITE_COLOURS[site], ls=style, lw=1.2)
            axes.plot([], [], color=GREY, ls=style, lw=1.2, label=f"noise takes {gap:.0%} or more")
        _draw_sites(axes, at)
        lines = [f"{_plain(at[CATEGORY].item())}, {_noise(at[NOISE].item(), averages)}", _count(at)]
        if "transition_mean" in at:
            lines[1] += f", {_draw_transition(axes, at)}"
        if others:
            lines.append("; ".join(f"{gap:.0%}: n = {int(o['n_prompts'])}" for gap, o in others.items()))
        axes.set_title("\n".join(lines), parse_math=False)
    title = _bands(averages)
    if gaps:
        title += f" of prompts from which noise takes {averages.attrs['min_gap']:.0%} or more"
    _legend(figure, panels, title)
    return figure


def draw_beside(runs: Mapping[str, xr.Dataset], noise: str) -> Figure:
    """Averages of several runs or measures beside each other: a row a category, a column a run.

    Parameters
    ----------
    runs : mapping
        What each column is called to averages of the same categories, by depth or by layer.
    noise : str
        The noise level drawn.
    """
    categories = next(iter(runs.values()))[CATEGORY].values
    figure = new_figure(0.6 + 3.6 * len(runs), 1.4 + 2.0 * len(categories))
    panels = figure.subplots(len(categories), len(runs), squeeze=False, sharex="col", sharey=True)
    for column, (name, averages) in zip(panels.T, runs.items(), strict=True):
        for axes, category in zip(column, categories, strict=True):
            at = averages.sel({CATEGORY: category, NOISE: noise})
            _draw_sites(axes, at)
            _say_if_empty(axes, at)
            axes.set_title(_count(at), fontsize=10)
        column[0].set_title(f"{name}\n{column[0].get_title()}", fontsize=11, parse_math=False)
        _label(column[-1], averages[_axis(averages)].values, _axis(averages))
    for axes, category in zip(panels[:, 0], categories, strict=True):
        axes.set_ylabel(_plain(category), parse_math=False)
    figure.supylabel(RESTORATION, fontsize="medium")
    _legend(figure, panels, f"{_noise(noise, averages)}; {_bands(averages)}")
    return figure


def draw_severed(shares: Mapping[str, xr.Dataset]) -> Figure:
    """The share of a restored subject's effect that remains with parts of the model severed, by depth.

    Parameters
    ----------
    shares : mapping
        What each line is called ("without MLPs") to a Dataset of `strata.trace.restoration.severed_share`.
        No line where the whole effect is too small for a share of it.
    """
    first = next(iter(shares.values()))
    figure, panels, cells = _category_panels(first)
    highest = max(float(share["share"].sel({SITE: "subject"}).max()) for share in shares.values())
    for axes, at in cells:
        for colour, (name, share) in zip(LINE_COLOURS, shares.items(), strict=False):
            line = share.sel({NOISE: at[NOISE], CATEGORY: at[CATEGORY], SITE: "subject"})
            _draw_band(axes, line[DEPTH], line["share"], line["share_low"], line["share_high"], colour, name)
        axes.axhline(1, color=GREY, lw=0.8, ls=":")
        axes.axhline(0, color=GREY, lw=0.8, ls=":")
        axes.set_ylim(-0.1, max(1.1, 1.05 * highest))
        title = f"{_plain(at[CATEGORY].item())}, {_noise(at[NOISE].item(), first)}\n{_count(at)}"
        axes.set_title(title, parse_math=False)
    for axes in panels[:, 0]:
        axes.set_ylabel("share of the effect that remains" if axes.get_ylabel() else "")
    floor = f"not stated where the state restores less than {first.attrs['min_effect']:g}"
    _legend(figure, panels, f"{_bands(first)}; {floor}")
    return figure


def draw_subject_tokens(tokens: xr.Dataset) -> Figure:
    """How the answer trickles through subjects of two tokens and more: a line for each, by depth.

    ``tokens`` is of `strata.trace.restoration.average_subject_tokens`. A column for each number of subject
    tokens, a row for each noise level.
    """
    lengths, levels = [n for n in tokens[SUBJECT_LENGTH].values if n > 1], tokens[NOISE].values
    if not lengths:
        figure = new_figure(6.5, 1.5)
        figure.text(0.5, 0.5, "Every traced subject is a single token.", ha="center", va="center")
        return figure
    figure = new_figure(max(6.5, 0.6 + 3.6 * len(lengths)), 1.2 + 2.2 * len(levels))
    panels = figure.subplots(len(levels), len(lengths), squeeze=False, sharex=True, sharey=True)
    for row, level in zip(panels, levels, strict=True):
        for axes, length in zip(row, lengths, strict=True):
            at = tokens.sel({SUBJECT_LENGTH: length, NOISE: level})
            for k, colour in zip(range(length), LINE_COLOURS, strict=False):
                line = at.sel({SUBJECT_TOKEN: k})
                ends = line["restoration_low"], line["restoration_high"]
                name = f"subject token {k + 1}"
                _draw_band(axes, tokens[_axis(tokens)], line["restoration"], *ends, colour, name)
            _say_if_empty(axes, at)
            axes.set_ylim(-0.1, 1.1)
            axes.set_title(f"{length} subject tokens, {_noise(level)}\n{_count(at)}", fontsize=10)
    for axes in panels[-1]:
        _label(axes, tokens[_axis(tokens)].values, _axis(tokens))
    figure.supylabel(RESTORATION, fontsize="medium")
    _legend(figure, panels, _bands(tokens))
    return figure


def _category_panels(
    averages: xr.Dataset, height: float = 2.7
) -> tuple[Figure, np.ndarray, list[tuple[Axes, xr.Dataset]]]:
    """A panel for each category, three abreast, in a block of rows for each noise level."""
    categories, levels = averages[CATEGORY].values, averages[NOISE].values
    columns = min(3, len(categories))
    rows = -(-len(categories) // columns)
    figure = new_figure(4.1 * columns, 0.5 + height * rows * len(levels))
    panels = figure.subplots(rows * len(levels), columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat:
        axes.set_visible(False)
    cells = []
    for block, level in enumerate(levels):
        panels[block * rows, 0].set_ylabel(RESTORATION)
        for index, category in enumerate(categories):
            axes = panels[block * rows + index // columns, index % columns]
            axes.set_visible(True)
            axes.tick_params(labelbottom=True)
            _label(axes, averages[_axis(averages)].values, _axis(averages))
            at = averages.sel({CATEGORY: category, NOISE: level})
            _say_if_empty(axes, at)
            cells.append((axes, at))
    return figure, panels, cells


def _draw_band(
    axes: Axes, x: xr.DataArray, mean: xr.DataArray, low: xr.DataArray, high: xr.DataArray, colour, name
) -> None:
    marker = {"marker": "o", "ms": 3} if np.isfinite(mean).sum() == 1 else {}  # a line of one point
    axes.plot(x, mean, color=colour, label=name, **marker)
    axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)


def _draw_sites(axes: Axes, at: xr.Dataset) -> None:
    """Restoration of subject and final token of one category at one noise level."""
    for site in at[SITE].values:
        line = at.sel({SITE: site})
        ends = line["restoration_low"], line["restoration_high"]
        _draw_band(axes, at[_axis(at)], line["restoration"], *ends, SITE_COLOURS[site], SITE_LABELS[site])
    axes.set_ylim(-0.1, 1.1)


def _draw_transition(axes: Axes, at: xr.Dataset) -> str:
    """The mean transition depth as a line in its interval; says it in words."""
    mean, low, high = (float(at[f"transition_{name}"]) for name in ("mean", "low", "high"))
    if not np.isfinite(mean):
        return "no transition"
    axes.axvline(mean, color=GREY, ls="--", lw=1, label="mean transition depth")
    if np.isfinite(low):
        axes.axvspan(low, high, color=GREY, alpha=0.15, lw=0)
    return f"transition {mean:.1f}"


# Tests of the order -------------------------------------------------------------------------


def draw_transitions(averages: xr.Dataset) -> Figure:
    """Transition depth of every prompt by category, with the mean and its interval; noise as facets."""
    categories = averages[CATEGORY].values
    colours = category_colours(categories)
    columns, places = _folded(averages[NOISE].values)
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
            axes.text(x, 0.02, told, transform=axes.get_xaxis_transform(), ha="center", fontsize="x-small")
        axes.set_xticks(range(len(categories)), [_plain(c) for c in categories], rotation=30, ha="right")
        axes.set_xlim(-0.6, len(categories) - 0.4)
        axes.margins(y=0.2)
        axes.set_title(_noise(level, averages))
        axes.grid(False, axis="x")
    _hide_empty(panels)
    for axes in panels[:, 0]:
        axes.set_ylabel("transition depth")
    told = f"a dot is a prompt; bar: mean in its {averages.attrs['interval']:.0%} bootstrap interval; "
    figure.supxlabel(told + "below: prompts with a transition, and without", fontsize="small")
    return figure


def _spread(n: int) -> np.ndarray:
    """Offsets of ``n`` points that share a column, even and the same every time (golden ratio)."""
    return 0.6 * ((np.arange(n) * 0.618034) % 1 - 0.5)


def draw_regression(table: pd.DataFrame) -> Figure:
    """Coefficients with their intervals as a forest plot; noise levels as facets.

    Filled: all regressors together. Hollow: category alone.

    Parameters
    ----------
    table : DataFrame
        Of `strata.trace.order.regression`.
    """
    table = table[table["statistic"] == "coefficient"]
    terms = list(dict.fromkeys(table["group"]))
    columns, places = _folded(dict.fromkeys(table["noise"]))
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
        axes.set_title(f"{_noise(level)}, n = {n}")
        axes.set_yticks(range(len(terms)), [TERMS.get(term, _plain(term)) for term in terms])
        axes.set_ylim(len(terms) - 0.4, -0.6)
        axes.tick_params(labelbottom=True)
    _hide_empty(panels)
    for axes in panels[-1]:
        axes.set_xlabel("depths")
    _legend(figure, panels, "coefficients (positive: a later transition)")
    told = "categories: against the reference category; frequency, distance, …: for one standard deviation"
    figure.supxlabel(told, fontsize="small")
    return figure


def draw_curve_difference(table: pd.DataFrame) -> Figure:
    """Difference of two categories' restoration curves in a band for all depths together.

    ``table`` is of `strata.trace.order.curve_difference`. Where the band leaves 0 out, the curves differ.
    """
    axis = LAYER if LAYER in table else DEPTH
    columns, places = _folded(dict.fromkeys(table["noise"]))
    blocks = -(-len(places) // columns)
    figure = new_figure(max(6.5, 0.6 + 4.1 * columns), 1.2 + 2.7 * blocks)
    panels = figure.subplots(blocks, columns, squeeze=False, sharex=True, sharey=True)
    for level, place in places.items():
        axes, at = panels[place], table[table["noise"] == level]
        for site, line in at.groupby(SITE, sort=False):
            curve = (line[name] for name in (axis, "value", "low", "high"))
            _draw_band(axes, *curve, SITE_COLOURS[site], SITE_LABELS[site])
        axes.axhline(0, color=GREY, lw=1, ls="--")
        p = at["p"].min()
        told = f"smallest p {p:.2g}" if np.isfinite(p) else "too few prompts"
        axes.set_title(f"{_noise(level)}\nn = {at['n'].max()}, {told}")
        axes.tick_params(labelbottom=True)
        _label(axes, at[axis].unique(), axis)
    _hide_empty(panels)
    for axes in panels[:, 0]:
        axes.set_ylabel("difference of restoration")
    _legend(figure, panels, f"{_plain(table['group'].iloc[0])}; bands for all depths together")
    return figure
