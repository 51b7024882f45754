"""Figures of the lens."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from strata.figures.style import SEQUENTIAL, category_colours, new_figure, readable
from strata.names import CATEGORY, DEPTH, POSITION, PROMPT, TOKEN, TOKEN_STR, K

BOX_COLOUR = "#D55E00"


def draw_grid(lens: xr.Dataset, window: tuple[int, int]) -> Figure:
    """The lens over one text: position by depth, the top guess in each cell.

    Colour is the guess's logit, on a scale that spans depths 1 to L; a box marks the cells whose
    guess is the final one. Below stand the input tokens, above the true next tokens, starred where
    the model was right (nostalgebraist 2020).

    Parameters
    ----------
    lens : (depth, token, k), the tokens of one prompt or passage
    window : first position drawn, and one past the last

    Raises
    ------
    ValueError
        If the tokens are of more than one prompt, or none lies in the window.
    """
    prompts = sorted(set(lens[PROMPT].values))
    if len(prompts) != 1:
        raise ValueError(f"a grid shows one prompt, not {len(prompts)}")
    lens = lens.isel({TOKEN: slice(*window)})
    if not lens.sizes[TOKEN]:
        raise ValueError(f"prompt {prompts[0]!r} has no token in positions {window[0]} to {window[1] - 1}")
    top = lens.isel({K: 0})
    logit, ids = top["top_logit"].values, top["top_id"].values
    n_depths, n_tokens = logit.shape
    # Many depths make a tall figure: rows get as low as their text allows.
    figure = new_figure(2.0 + 0.76 * n_tokens, 1.9 + (0.36 if n_depths <= 25 else 0.24) * n_depths)
    axes = figure.subplots()
    # At depth 0 a token's likeness to itself may dwarf everything after it: it may go off the scale.
    low, high = logit[1:].min(), logit[1:].max()
    image = axes.imshow(logit, aspect="auto", origin="lower", cmap=SEQUENTIAL, vmin=low, vmax=high)
    beyond = {(True, True): "both", (True, False): "min", (False, True): "max", (False, False): "neither"}
    extend = beyond[bool(logit[0].min() < low), bool(logit[0].max() > high)]
    figure.colorbar(image, ax=axes, label="logit of the top guess", pad=0.01, aspect=30, extend=extend)
    for (depth, token), text in np.ndenumerate(top["top_str"].values):
        axes.text(
            token,
            depth,
            readable(str(text), 8),
            ha="center",
            va="center",
            color="black" if image.norm(logit[depth, token]) > 0.45 else "white",
            fontsize=8.5,
            parse_math=False,
        )
        if ids[depth, token] == ids[-1, token]:
            _draw_box(axes, token, depth)
    axes.grid(False)
    axes.set_title(f"prompt {prompts[0]}", parse_math=False)
    axes.set_yticks(range(n_depths), lens[DEPTH].values)
    axes.set_ylabel("depth (blocks applied)")
    positions = lens[POSITION].values
    axes.set_xlabel(f"input token (positions {positions[0]} to {positions[-1]})")
    _label_columns(axes.xaxis, [readable(str(t)) for t in lens[TOKEN_STR].values], "right")
    above = axes.secondary_xaxis("top")
    above.set_xlabel("true next token (★ the model's final guess was right)")
    right = ids[-1] == lens["target_id"].values
    nexts = zip(right, lens["target_str"].values, strict=True)
    _label_columns(above.xaxis, [("★ " if hit else "") + readable(str(t)) for hit, t in nexts], "left")
    return figure


def _draw_box(axes: Axes, token: int, depth: int) -> None:
    casing = withStroke(linewidth=3.2, foreground="white")  # seen on every colour of the map
    corner, size = (token - 0.46, depth - 0.43), (0.92, 0.86)
    axes.add_patch(Rectangle(corner, *size, fill=False, ec=BOX_COLOUR, lw=1.8, path_effects=[casing]))


def _label_columns(axis: Axis, labels: list[str], side: str) -> None:
    axis.set_ticks(range(len(labels)), labels)
    for label in axis.get_ticklabels():
        label.set(rotation=40, ha=side, rotation_mode="anchor", parse_math=False)


def draw_divergence(lens: xr.Dataset) -> Figure:
    """Mean KL(final ‖ depth), and the share of top guesses that are final already, by category.

    A category's mean is over its prompts, each the mean over its tokens; the band is two standard
    errors over prompts, absent where there is one prompt only.

    Parameters
    ----------
    lens : (depth, token, k), all prompts and passages
    """
    guess = lens["top_id"].isel({K: 0})
    settled = (guess == guess.isel({DEPTH: -1})).astype(float)
    figure = new_figure(11, 4.6)
    panels = figure.subplots(1, 2)
    # The last depth is the final distribution: at 0, which has no place on a log scale.
    _draw_by_category(panels[0], lens["kl_final"].isel({DEPTH: slice(None, -1)}))
    panels[0].set(ylabel="KL(final ‖ depth), nats, log scale")
    panels[0].set_title("distance from the final distribution (0 at the end)")
    above_zero = [y for line in panels[0].lines for y in line.get_ydata() if y > 0]
    if above_zero:
        panels[0].set_yscale("log", nonpositive="clip")
        panels[0].set_ylim(min(above_zero) / 2, None)
    _draw_by_category(panels[1], settled)
    panels[1].set(ylabel="share of tokens", ylim=(-0.02, 1.02))
    panels[1].set_title("top guess is the final one already")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, title="category (prompts)", frameon=False, loc="outside right upper")
    figure.supxlabel("mean over prompts, band ± 2 standard errors over prompts", fontsize="small")
    return figure


def _draw_by_category(axes: Axes, values: xr.DataArray) -> None:
    """One line for each category of values (depth, token)."""
    categories, depth = values[CATEGORY].values, values[DEPTH].values
    for category, colour in category_colours(dict.fromkeys(categories)).items():
        chosen = values.isel({TOKEN: np.flatnonzero(categories == category)})
        by_prompt = chosen.groupby(PROMPT).mean(TOKEN)
        n, mean = by_prompt.sizes[PROMPT], by_prompt.mean(PROMPT)
        label = f"{category.replace('_', ' ')} ({n})"
        axes.plot(depth, mean, color=colour, marker="o", ms=3.5, label=label)
        if n > 1:
            error = by_prompt.std(PROMPT, ddof=1) / np.sqrt(n)
            low = np.maximum(mean - 2 * error, 0)
            axes.fill_between(depth, low, mean + 2 * error, color=colour, alpha=0.18, lw=0)
    axes.set_xlabel("depth (blocks applied)")
    axes.set_xticks(depth[:: -(-len(depth) // 13)])
