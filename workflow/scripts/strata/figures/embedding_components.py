"""Figures of the leading components: what they tell of a token (`strata.embedding.components`)."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy.stats import beta, norm

from strata.embedding import NO_POSITIONS
from strata.embedding.names import (
    BASIS,
    BIN,
    CENTRED,
    CLASSES,
    END,
    GROUP,
    HIGH,
    LEADING_SPACE,
    LOW,
    NMF,
    OTHER,
    PLANE,
    PROPERTY,
    RAW,
    SEEN,
    SVD,
    THRESHOLD,
    VECTORS,
)
from strata.figures.points import label_points
from strata.figures.style import LINE_COLOURS, fitted, ink_on, new_figure, readable
from strata.figures.told import estimate
from strata.names import ALL, CHANNEL, COMPONENT, TOKEN_SET, TOKEN_STR
from strata.stats.thresholds import ASHMANS_D, LEVEL

BLUE, ORANGE, GREEN = LINE_COLOURS[:3]
INK = "#222222"
SETS = {SEEN: "tokens that were seen", ALL: "all tokens"}
BASES = {SVD: "SVD", NMF: "NMF"}
MOST_CLASSES = 10  # scripts, or parts of speech, in one figure


def draw_properties(components: xr.Dataset) -> Figure:
    """How well each component tells each property; framed is what is beyond random directions.

    Properties that are too rare among tokens that were seen are shown for all tokens.

    Parameters
    ----------
    components : Dataset
        As `strata.embedding.components.analyse` returns it; so for every figure of this module.
    """
    components = components.load()
    # Where all tokens that were seen are of one class (one script, say), there is nothing to tell apart.
    told_apart = components["eta2"].sel({TOKEN_SET: SEEN}).notnull().any([BASIS, COMPONENT])
    components = components.isel({CLASSES: told_apart.values})
    rows = _asked(components)
    n_classes = components.sizes[CLASSES]
    n_components = components.sizes[COMPONENT]
    figure = new_figure(4 + 0.9 * n_components, 2.6 + 0.36 * (len(rows) + n_classes + 1))
    above, below = figure.subplots(2, 2, height_ratios=(len(rows), n_classes + 1.2), sharex=True)
    for column, (basis, told) in enumerate(BASES.items()):
        part = components.sel({BASIS: basis})
        cells = [part.sel({PROPERTY: name, TOKEN_SET: chosen}) for name, chosen in rows]
        auc = np.array([cell["auc"].values for cell in cells])
        random = np.array([float(cell["auc_random"]) for cell in cells])
        p = np.array([cell["auc_p_adjusted"].values for cell in cells])
        framed = (abs(auc - 0.5) > random[:, None]) & (p < 1 - components.attrs["interval"])
        first = _draw_table(above[column], auc, framed, "RdBu_r", (0, 1))
        above[column].set_title(told)
        seen = part.sel({TOKEN_SET: SEEN})
        strength = np.vstack([seen["eta2"].transpose(CLASSES, COMPONENT), seen["rho_length"] ** 2])
        random = np.append(seen["eta2_random"], seen["rho_length_random"] ** 2)
        p = [seen[f"{name}_p_adjusted"].transpose(..., COMPONENT) for name in ("eta2", "rho_length")]
        framed = (strength > random[:, None]) & (np.vstack(p) < 1 - components.attrs["interval"])
        second = _draw_table(below[column], strength, framed, "Blues", (0, 1))
        below[column].set_xticks(range(n_components), components[COMPONENT].values)
        below[column].set_xlabel("component")
    labels = [_row_label(components, name, chosen) for name, chosen in rows]
    above[0].set_yticks(range(len(rows)), labels, fontsize="small")
    above[1].set_yticks([])
    names = [str(name).replace("_", " ") for name in components[CLASSES].values]
    below[0].set_yticks(
        range(n_classes + 1), [*(f"{name}: η²" for name in names), "length: ρ²"], fontsize="small"
    )
    below[1].set_yticks([])
    figure.colorbar(first, ax=list(above), label="AUC", aspect=20)
    figure.colorbar(second, ax=list(below), label="share of\nvariance", aspect=8)
    told = components.attrs
    figure.supxlabel(
        f"AUC 0.5: no separation. Framed: beyond the best of {n_components} random directions in "
        f"{told['interval']:.0%} of {told['draws']} draws, and p < {1 - told['interval']:.2g} "
        "after correction for all of them.\nIn brackets: tokens with the property, of those asked. "
        f"Part of speech: {told['part_of_speech']}.",
        fontsize="small",
    )
    return figure


def draw_peaks(components: xr.Dataset, n_peaks: int = 12) -> Figure:
    """The tokens at the ends of every component, among those that were seen."""
    part = components.sel({TOKEN_SET: SEEN})
    ends = {(SVD, HIGH): "SVD, high end", (SVD, LOW): "SVD, low end", (NMF, HIGH): "NMF, most of it"}
    n_components, width = components.sizes[COMPONENT], 0.95  # of a token, in inches
    figure = new_figure(0.8 + n_peaks * width, 1 + len(ends) * (0.4 + 0.24 * n_components))
    for axes, ((basis, end), title) in zip(figure.subplots(len(ends), 1), ends.items(), strict=True):
        tokens = part["peak_str"].sel({BASIS: basis, END: end}).transpose(COMPONENT, ...).values
        for row, line in enumerate(tokens):
            for place, token in enumerate(line[:n_peaks]):
                text = fitted(str(token), 66 * width, 9) if token else ""
                axes.text(place, row, text, fontsize=9, va="center", parse_math=False, in_layout=False)
        axes.set(xlim=(-0.1, n_peaks), ylim=(n_components - 0.5, -0.5), title=title, xticks=[])
        axes.set_yticks(range(n_components), components[COMPONENT].values)
        axes.set_ylabel("component")
        axes.grid(False)
        axes.spines[:].set_visible(False)
    shares = {basis: float(components["explained"].sel({BASIS: basis})) for basis in BASES}
    figure.supxlabel(
        f"The outermost token on the left. {n_components} components account for {shares[SVD]:.0%} (SVD) and "
        f"{shares[NMF]:.0%} (NMF) of the squares of the {components.attrs['nmf_tokens']:,} most frequent "
        "embeddings.\nNMF of positive and negative parts side by side, fitted to those.",
        fontsize="small",
    )
    return figure


def draw_separation(components: xr.Dataset, shown: tuple[int, ...] = (0, 1, 2)) -> Figure:
    """Components 0 to 2, and the best direction in the plane of 1 and 2, by leading space.

    With two normal distributions fitted to all of the tokens. Where too few tokens begin with a space, or too
    few do not, there is no best direction.
    """
    components = components.load()
    space = components["leading_space"].values.astype(bool)
    n_columns = len(shown) + ("plane_auc" in components)
    figure = new_figure(4.3 * n_columns, 7)
    panels = figure.subplots(len(SETS), n_columns, squeeze=False)
    for row, (chosen, told) in zip(panels, SETS.items(), strict=True):
        tokens = components["seen" if chosen == SEEN else "known"].values.astype(bool)
        at_set = components.sel({TOKEN_SET: chosen, BASIS: SVD})
        for axes, component in zip(row, shown, strict=False):
            at = at_set.sel({COMPONENT: component})
            told_apart = at.sel({PROPERTY: LEADING_SPACE}) if LEADING_SPACE in at[PROPERTY].values else None
            _draw_separated(axes, at, tokens, space, told_apart)
            axes.set_xlabel(f"component {component} (left vector, no unit)")
        if n_columns > len(shown):
            names = [name for name in at_set if name.startswith("plane_")]
            at = at_set[names].rename({name: name.removeprefix("plane_") for name in names})
            _draw_separated(row[-1], at, tokens, space, at)
            row[-1].set_xlabel(f"best direction in the plane of {PLANE[0]} and {PLANE[1]} (no unit)")
        row[0].set_ylabel(f"{told} ({int(tokens.sum()):,})")
    panels[0, 0].legend(fontsize="small", loc="upper right")
    figure.supxlabel(
        f"AUC of leading space, with its {components.attrs['interval']:.0%} interval (in the plane: along "
        "directions fitted to other tokens). Lines: two normal distributions\nfitted; D: Ashman's distance "
        "between them; p: of one mode, by the dip. Two groups: two fit better than one (BIC), "
        f"D > {ASHMANS_D:g} and p < {LEVEL:g}. Dotted: the origin.",
        fontsize="small",
    )
    return figure


def _draw_separated(
    axes: Axes, at: xr.Dataset, tokens: np.ndarray, space: np.ndarray, told_apart: xr.Dataset | None
) -> None:
    """The distribution of ``score`` (vocab) among some tokens, by leading space, and what is told of it."""
    score = at["score"].values
    edges = np.linspace(*np.quantile(score[tokens], [0.001, 0.999]), 61)
    parts = [score[tokens & space], score[tokens & ~space]]
    look = {"stacked": True, "color": [BLUE, ORANGE], "lw": 0, "rasterized": True}
    axes.hist(parts, edges, label=[LEADING_SPACE, "none"], **look)
    scale = tokens.sum() * np.diff(edges)[0]
    x = np.linspace(edges[0], edges[-1], 400)
    for group in at[GROUP].values:
        weight, mean, deviation = (
            float(at[f"groups_{name}"].sel({GROUP: group})) for name in ("weight", "mean", "deviation")
        )
        axes.plot(x, scale * weight * norm.pdf(x, mean, deviation), color=INK, lw=1.2)
    axes.set_ylim(0, 1.15 * np.histogram(score[tokens], edges)[0].max())
    axes.axvline(0, color=INK, lw=0.8, ls=":")
    axes.locator_params(axis="x", nbins=5)
    axes.set_title(_separation_told(at, told_apart), fontsize="small")


def draw_orthogonality(components: xr.Dataset) -> Figure:
    """Cosines between token embeddings against random vectors, and between the NMF's directions."""
    figure = new_figure(14, 4.8)
    first, second, third = figure.subplots(1, 3)
    seen = components.sel({TOKEN_SET: SEEN})
    d = components.sizes[CHANNEL]
    centres, looks = seen[BIN].values, {RAW: (BLUE, "as they are"), CENTRED: (ORANGE, "about their mean")}
    for kind, (colour, told) in looks.items():
        at = seen.sel({VECTORS: kind})
        dimension = float(at["effective_dimension"])
        first.plot(centres, at["density"], color=colour, label=f"{told}: as in {dimension:.0f} dimensions")
        second.plot(seen[THRESHOLD], at["share_above"], color=colour, marker="o", label=told)
        second.fill_between(
            seen[THRESHOLD], at["share_above_low"], at["share_above_high"], color=colour, alpha=0.2, lw=0
        )
    density = beta.pdf((centres + 1) / 2, (d - 1) / 2, (d - 1) / 2) / 2
    first.plot(centres, density, color=INK, ls="--", label=f"random: {d} dimensions")
    first.set(xlabel="cosine of a pair of tokens", ylabel="density", xlim=(-1, 1))
    first.set(xticks=np.linspace(-1, 1, 5), ylim=(0, 1.3 * first.dataLim.y1))
    first.legend(fontsize="small", loc="upper left")
    expected = seen["expected_share"]
    second.plot(seen[THRESHOLD], expected, color=INK, ls="--", marker="o", label="random, exact")
    second.set(xlabel="threshold", ylabel="share of pairs with |cosine| above it", yscale="log")
    second.set_ylim(1e-6, 1.5)
    second.legend(fontsize="small", loc="lower left")
    cosine = components["direction_cosine"].sel({BASIS: NMF}).transpose(COMPONENT, OTHER).values
    image = third.imshow(
        np.where(np.eye(len(cosine), dtype=bool), np.nan, cosine), cmap="RdBu_r", vmin=-1, vmax=1
    )
    third.grid(False)
    largest = float(components["direction_largest"].sel({BASIS: NMF}))
    third.set(
        xlabel="NMF component",
        ylabel="NMF component",
        title=f"largest |cosine| {largest:.2f}; of {len(cosine)} random\n"
        f"directions {float(components['expected_direction_largest']):.2f} (median)",
    )
    figure.colorbar(image, ax=third, label="cosine", shrink=0.8)
    interval, at = components.attrs["interval"], seen.sel({VECTORS: CENTRED})
    figure.supxlabel(
        f"{int(seen['n_vectors']):,} tokens that were seen; pairs of a sample of {int(seen['n_sampled']):,}, "
        f"{interval:.0%} intervals. Cosines of random vectors in d dimensions have variance 1/d: so the "
        "embeddings' cosines (all pairs, exact) give a dimension.\n"
        f"Largest |cosine| in the sample: {float(at['largest']):.2f} about the mean; of as many random ones "
        f"{float(seen['expected_largest']):.2f} (median). SVD directions are orthogonal by construction.",
        fontsize="small",
    )
    return figure


def draw_leading_direction(components: xr.Dataset, n_labels: int = 8) -> Figure:
    """Component 0 against a token's length, and every component against length and positions.

    A model without a position embedding gets a figure that says so.
    """
    components = components.load()
    at, interval = components.sel({TOKEN_SET: SEEN, BASIS: SVD}), components.attrs["interval"]
    has_positions = "position_mean_share" in at
    figure = new_figure(15 if has_positions else 10.5, 5)
    first, *others = figure.subplots(1, 2 + has_positions)
    _draw_lengths(first, at, n_labels)
    shown = at[COMPONENT].values
    low, rho, high = (at[f"cosine_rho{end}"].values for end in ("_low", "", "_high"))
    others[0].errorbar(shown, rho, [rho - low, high - rho], color=BLUE, fmt="o", ms=4)
    others[0].axhline(0, color=INK, lw=0.8)
    others[0].set(ylabel="rank correlation of norm and |cosine|", ylim=(-1, 1))
    others[0].set_title("does it take more of long tokens?")
    if has_positions:
        for name, colour, marker, shift in (("variance", BLUE, "o", -0.1), ("mean", ORANGE, "s", 0.1)):
            share = at[f"position_{name}_share"]
            others[1].plot(shown + shift, share, color=colour, marker=marker, lw=0, label=name)
            told = f"{name}, random directions ({interval:.0%})"
            random = float(at[f"position_{name}_share_random"])
            others[1].axhline(random, color=colour, ls="--", lw=1, label=told)
        others[1].legend(fontsize="small")
        others[1].set(ylabel="share of the position embedding along it", ylim=(0, None))
        others[1].set_title("of its variance over positions, and of its mean squared")
    for axes in others:
        axes.set(xlabel="SVD component", xticks=shown)
    figure.supxlabel(
        f"Tokens that were seen; {interval:.0%} intervals. Cosine: the part of a token's length that lies "
        "along a component, whatever its length."
        + ("" if has_positions else f"\nPosition embedding {NO_POSITIONS}."),
        fontsize="small",
    )
    return figure


def _draw_lengths(axes: Axes, at: xr.Dataset, n_labels: int) -> None:
    """Every seen token's length and how far it reaches along component 0."""
    seen = at["seen"].values.astype(bool)
    zero = at.sel({COMPONENT: 0})
    length = at["norm"].values[seen]
    reach = abs(zero["score"].values[seen] * float(zero["singular_value"]))
    order = np.argsort(-length, kind="stable")
    long, typical = order[: int(at["n_long"])], float(zero["cosine_typical"])
    axes.scatter(length, reach, color=BLUE, s=6, lw=0, alpha=0.5, rasterized=True)
    axes.scatter(length[long], reach[long], color=ORANGE, s=14, lw=0, rasterized=True)
    ends = np.array([0, length.max()])
    axes.plot(ends, typical * ends, color=INK, lw=1.2, label=f"typical share: {typical:.2f} of the norm")
    axes.plot(ends, ends, color=INK, lw=0.8, ls=":", label="all of it")
    axes.set(xlabel="norm of the token (embedding units)", ylabel="|projection on component 0|")
    axes.set_title(f"longest {len(long)} (orange): {estimate(zero, 'cosine_long')} of the norm")
    axes.legend(fontsize="small", loc="upper left")
    tokens = at[TOKEN_STR].values[seen]
    labels = {index: readable(tokens[index]) for index in order[: 6 * n_labels]}
    label_points(axes, np.stack([length, reach], 1), labels, most=n_labels)


def _asked(components: xr.Dataset) -> list[tuple[str, str]]:
    """Every property with the tokens it is shown for: those that were seen, if enough have it.

    Of scripts and of parts of speech those that the most tokens have.
    """
    found = np.isfinite(components["auc"].sel({TOKEN_SET: SEEN})).any((BASIS, COMPONENT)).values
    kinds = components["property_classes"].values
    n_with = pd.Series(components["n_with"].sel({TOKEN_SET: ALL}).values)
    place = n_with.groupby(kinds).rank(method="first", ascending=False)
    shown = (kinds == "") | (place <= MOST_CLASSES)
    return [
        (str(name), SEEN if among_seen else ALL)
        for name, among_seen in zip(components[PROPERTY].values[shown], found[shown], strict=True)
    ]


def _row_label(components: xr.Dataset, name: str, chosen: str) -> str:
    at = components.sel({TOKEN_SET: chosen, PROPERTY: name})
    n_with, n_without = int(at["n_with"]), int(at["n_without"])
    return f"{name}{', of all tokens' if chosen == ALL else ''} ({n_with:,} of {n_with + n_without:,})"


def _draw_table(axes: Axes, values: np.ndarray, framed: np.ndarray, cmap: str, limits: tuple[float, float]):
    image = axes.imshow(values, cmap=cmap, vmin=limits[0], vmax=limits[1], aspect="auto")
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        ink = ink_on(image.cmap(image.norm(value)))
        look = {"ha": "center", "va": "center", "color": ink, "fontsize": 7, "in_layout": False}
        axes.text(column, row, f"{value:.2f}", **look)
    for row, column in np.argwhere(framed):
        axes.add_patch(Rectangle((column - 0.46, row - 0.42), 0.92, 0.84, fill=False, ec=INK, lw=1.4))
    axes.grid(False)
    return image


def _separation_told(at: xr.Dataset, told_apart: xr.Dataset | None) -> str:
    told = "no leading spaces are marked"
    if told_apart is not None:
        told = f"AUC {estimate(told_apart, 'auc')}"
    p = float(at["groups_one_mode_p"])
    groups = f"D = {float(at['groups_distance']):.1f}, p {'<' if p < 0.001 else '='} {max(p, 0.001):.2g}"
    if not bool(at["two_groups"]):
        return f"{told}\none group: {groups}"
    agreement = abs(at["groups_agreement"] - 0.5).dropna(PROPERTY)
    if agreement.size == 0:
        return f"{told}\ntwo groups: {groups}"
    closest = str(agreement.idxmax(PROPERTY).values)
    accuracy = 0.5 + float(agreement.max())
    return f"{told}\ntwo groups: {groups}\nclosest property: {closest} (balanced accuracy {accuracy:.2f})"
