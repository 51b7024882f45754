"""Figures of the lens."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from strata.figures.style import SEQUENTIAL, category_colours, new_figure, readable
from strata.names import CATEGORY, DEPTH, PROMPT, TOKEN, TOKEN_STR


def draw_grid(lens: xr.Dataset, window: tuple[int, int]) -> Figure:
    """The lens over one text: position by depth, the top guess in each cell.

    Colour is the guess's logit, a box marks the cells whose guess is the final one. Below stand
    the input tokens, above the true next tokens, starred where the model was right
    (nostalgebraist 2020).

    Parameters
    ----------
    lens : (depth, token, k), the tokens of one prompt or passage
    window : first position drawn, and one past the last
    """
    lens = lens.isel({TOKEN: slice(*window)})
    logit = lens["top_logit"].isel(k=0).values
    guesses = lens["top_str"].isel(k=0).values
    ids = lens["top_id"].isel(k=0).values
    n_depths, n_tokens = logit.shape
    figure = new_figure(1.8 + 0.72 * n_tokens, 1.6 + 0.36 * n_depths)
    axes = figure.subplots()
    image = axes.imshow(logit, aspect="auto", origin="lower", cmap=SEQUENTIAL)
    figure.colorbar(image, ax=axes, label="logit of the top guess", pad=0.01)
    middle = (np.nanmin(logit) + np.nanmax(logit)) / 2
    for depth in range(n_depths):
        for token in range(n_tokens):
            colour = "black" if logit[depth, token] > middle else "white"
            text = readable(str(guesses[depth, token]), 8)
            axes.text(
                token, depth, text, ha="center", va="center", color=colour, fontsize=8, parse_math=False
            )
            if ids[depth, token] == ids[-1, token]:
                box = Rectangle((token - 0.47, depth - 0.45), 0.94, 0.9, fill=False, ec="#D55E00", lw=1.6)
                axes.add_patch(box)
    axes.grid(False)
    axes.set_yticks(range(n_depths), [str(d) for d in lens[DEPTH].values])
    axes.set_ylabel("depth (blocks applied)")
    axes.set_xticks(range(n_tokens), [readable(str(t)) for t in lens[TOKEN_STR].values])
    axes.set_xlabel("input token")
    above = axes.secondary_xaxis("top")
    right = ids[-1] == lens["target_id"].values
    nexts = [
        ("*" if hit else "") + readable(str(t))
        for hit, t in zip(right, lens["target_str"].values, strict=True)
    ]
    above.set_xticks(range(n_tokens), nexts)
    above.set_xlabel("true next token (* the model's final guess was right)")
    for axis in (axes.xaxis, above.xaxis):
        for label in axis.get_ticklabels():
            label.set(rotation=40, ha="right" if axis is axes.xaxis else "left", parse_math=False)
            label.set_rotation_mode("anchor")
    return figure


def draw_divergence(lens: xr.Dataset) -> Figure:
    """Mean KL(final ‖ depth), and the share of top guesses that are final already, by category.

    A category's mean is over its prompts, each the mean over its tokens; the band is two standard
    errors over prompts.
    """
    final = lens["top_id"].isel(k=0)
    settled = (final == final.isel({DEPTH: -1})).astype(float)
    figure = new_figure(10.5, 4.2)
    panels = figure.subplots(1, 2)
    colours = category_colours(list(dict.fromkeys(lens[CATEGORY].values)))
    for axes, values, label in (
        (panels[0], lens["kl_final"], "KL(final ‖ depth), nats"),
        (panels[1], settled, "share of top guesses equal to the final one"),
    ):
        for category, colour in colours.items():
            chosen = values.isel({TOKEN: np.flatnonzero(lens[CATEGORY].values == category)})
            by_prompt = chosen.groupby(PROMPT).mean(TOKEN)
            mean = by_prompt.mean(PROMPT).values
            error = (by_prompt.std(PROMPT) / np.sqrt(by_prompt.sizes[PROMPT])).values
            depth = lens[DEPTH].values
            axes.plot(depth, mean, color=colour, marker="o", ms=3.5, label=category.replace("_", " "))
            axes.fill_between(depth, mean - 2 * error, mean + 2 * error, color=colour, alpha=0.18, lw=0)
        axes.set(xlabel="depth (blocks applied)", ylabel=label, ylim=(0, None))
        axes.set_xticks(lens[DEPTH].values[:: max(1, lens.sizes[DEPTH] // 13)])
    panels[1].set_ylim(0, 1.02)
    panels[0].legend(title="category", frameon=False)
    return figure
