"""Figures of the embedding matrices' singular value decomposition (`strata.embedding.svd`)."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from strata.figures.points import label_points, robust_limits, within
from strata.figures.style import new_figure, new_notice, readable
from strata.names import COMPONENT, POSITION, TOKEN_STR, VOCAB

TOKENS, POSITIONS, INK = "#0072B2", "#D55E00", "#222222"
SPACE_COLOURS = {True: TOKENS, False: POSITIONS}
MAX_LINES = 6  # position components drawn against position


def draw_singular_values(embedding: xr.Dataset) -> Figure:
    """Singular values of the token and the position embedding, and their shares, on log axes.

    Parameters
    ----------
    embedding : Dataset
        As `strata.embedding.svd.decompose` returns it; so for every figure of this module.
    """
    figure = new_figure(10.5, 4.2)
    panels = figure.subplots(1, 2)
    for stem, colour in (("token", TOKENS), ("position", POSITIONS)):
        if f"{stem}_singular_value" not in embedding:
            continue
        for axes, name in zip(panels, ("singular_value", "share"), strict=True):
            values = embedding[f"{stem}_{name}"].dropna(COMPONENT)
            values = values.where(embedding[f"{stem}_share"] > 1e-16)  # rank is missing below
            axes.plot(
                values[COMPONENT], values, color=colour, marker=".", ms=3, lw=1, label=f"{stem} embedding"
            )
    panels[0].set(ylabel="singular value (embedding units)")
    panels[1].set(ylabel="share of the sum of squares about the origin")
    for axes in panels:
        axes.set(xlabel="component", yscale="log")
    panels[0].legend(frameon=False, loc="upper right")
    if "position_singular_value" not in embedding:
        panels[0].set_title(f"position embedding {embedding.attrs['position_embedding']}")
    return figure


def draw_token_components(embedding: xr.Dataset, n_extremes: int = 6) -> Figure:
    """Components 1 and 2 of every token, coloured by leading space, the origin marked.

    The tokens furthest out at either end of either component are labelled. A few tokens that would squeeze
    all others (such as have never been trained on) are drawn as triangles at the edge, and counted.
    """
    left = embedding["token_left"].sel({COMPONENT: [1, 2]}).transpose(VOCAB, COMPONENT).values
    limits = np.array([robust_limits(np.append(component, 0)) for component in left.T])
    shown, beyond = within(left, limits)
    space = embedding["leading_space"].values.astype(bool)
    figure = new_figure(9, 7)
    axes = figure.subplots()
    dots = {"s": 6, "alpha": float(np.clip(4000 / len(left), 0.15, 0.7)), "lw": 0, "rasterized": True}
    for flag, label in ((True, "leading space"), (False, "none")):
        axes.scatter(*shown[(space == flag) & ~beyond].T, color=SPACE_COLOURS[flag], **dots, label=label)
    edge = {"marker": "^", "s": 45, "lw": 0.6, "edgecolor": "white", "zorder": 3}
    if beyond.any():
        colours = [SPACE_COLOURS[bool(flag)] for flag in space[beyond]]
        axes.scatter(*shown[beyond].T, c=colours, **edge, label=f"beyond the axes ({beyond.sum():,})")
    axes.axhline(0, color=INK, lw=0.8)
    axes.axvline(0, color=INK, lw=0.8)
    axes.plot(0, 0, marker="+", ms=14, mew=2, color=INK)
    outward = np.argsort(left, axis=0, kind="stable")
    extremes = np.concatenate([outward[:n_extremes], outward[: -n_extremes - 1 : -1]]).ravel()
    legend = axes.legend(title="token", frameon=True, loc="upper right")
    for handle in legend.legend_handles:
        handle.set(alpha=1, sizes=[45])
    auc = embedding["auc_leading_space"].sel({COMPONENT: [1, 2]}).values
    told = f"component 1 {auc[0]:.2f}, component 2 {auc[1]:.2f}"
    axes.set(
        xlabel="component 1 (left vector, no unit)",
        ylabel="component 2 (left vector, no unit)",
        title="no two groups: the vocabulary marks no leading spaces"
        if np.isnan(auc).all()
        else f"separation of leading spaces (AUC): {told}",
    )
    axes.margins(0.1)
    tokens = embedding[TOKEN_STR].values
    label_points(axes, shown, {index: readable(tokens[index]) for index in extremes})
    return figure


def draw_mean_direction(embedding: xr.Dataset) -> Figure:
    """Component 0 against the mean embedding, and the cosine of every component with it."""
    figure = new_figure(10.5, 4.4)
    panels = figure.subplots(1, 2)
    cosine = embedding["cosine_mean"]
    panels[0].scatter(
        embedding["mean_embedding"], embedding["token_right"].sel({COMPONENT: 0}), s=10, color=TOKENS
    )
    panels[0].set(
        xlabel="mean token embedding (embedding units)",
        ylabel="component 0 (right vector, no unit)",
        title=f"each dot a channel; cosine {float(cosine.sel({COMPONENT: 0})):.4f}",
    )
    panels[1].plot(cosine[COMPONENT], abs(cosine), color=TOKENS, marker="o", lw=0, ms=4, clip_on=False)
    chance = 1 / np.sqrt(embedding.sizes["channel"])
    panels[1].axhline(chance, color=INK, ls="--", lw=1, label="spread of random directions")
    panels[1].set(
        xlabel="component", ylabel="|cosine| with the mean embedding", xscale="symlog", ylim=(0, 1.05)
    )
    panels[1].set_xlim(-0.1, None)
    panels[1].legend(frameon=False, loc="upper right")
    return figure


def draw_position_components(embedding: xr.Dataset, n_components: int = MAX_LINES) -> Figure:
    """Position components against position, and neighbouring ones against each other.

    A model without a position embedding gets a figure that says so.
    """
    if "position_left" not in embedding:
        return new_notice(f"position embedding {embedding.attrs['position_embedding']}")
    left = embedding["position_left"].dropna(COMPONENT, how="all").isel({COMPONENT: slice(n_components)})
    share = embedding["position_share"]
    position, components = left[POSITION].values, left[COMPONENT].values
    figure = new_figure(10.5, 1.2 + 1.15 * len(components))
    lines, curves = figure.subfigures(1, 2, width_ratios=(1.6, 1))
    panels = lines.subplots(len(components), 1, sharex=True, squeeze=False)[:, 0]
    for axes, component in zip(panels, components, strict=True):
        axes.plot(position, left.sel({COMPONENT: component}), color=POSITIONS, lw=1)
        axes.axhline(0, color=INK, lw=0.6)
        axes.set_ylabel(f"{component}\n({float(share.sel({COMPONENT: component})):.1%})")
    panels[-1].set_xlabel("position (tokens)")
    lines.supylabel("component (share of squares), left vector, no unit", fontsize="medium")
    pairs = list(zip(components[:-1], components[1:], strict=True))
    n_rows = (len(pairs) + 1) // 2
    grid = curves.subplots(max(n_rows, 1), 2, squeeze=False).ravel()
    for axes, (a, b) in zip(grid, pairs, strict=False):
        x, y = left.sel({COMPONENT: a}), left.sel({COMPONENT: b})
        axes.plot(x, y, color=INK, lw=0.4, alpha=0.5)
        dots = axes.scatter(x, y, c=position, s=5, cmap="viridis")
        axes.set(xlabel=f"component {a}", ylabel=f"component {b}", xticks=[], yticks=[])
    for axes in grid[len(pairs) :]:
        axes.set_axis_off()
    if pairs:
        curves.colorbar(dots, ax=list(grid), label="position (tokens)", location="bottom", aspect=40)
    return figure
