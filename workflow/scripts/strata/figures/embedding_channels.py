"""Figures of the channels of the embedding matrices (`strata.embedding.channels`)."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from strata.embedding.channel_groups import channel_pairs, group_names
from strata.embedding.names import RIVALS
from strata.figures.style import (
    ASIDE_COLOUR,
    DIVERGING,
    LINE_COLOURS,
    SEQUENTIAL,
    as_written,
    new_figure,
    new_notice,
    readable,
)
from strata.figures.told import estimate, in_interval
from strata.names import CHANNEL, MEASURE, POSITION, TOKEN_STR, VOCAB
from strata.text.tokens import ordinary

TOKENS, POSITIONS = LINE_COLOURS[:2]
QUANTITIES = {
    "token_mean": ("|mean| over tokens", TOKENS, "s"),
    "token_std": ("standard deviation over tokens", TOKENS, "o"),
    "position_mean": ("|mean| over positions", POSITIONS, "s"),
    "position_std": ("standard deviation over positions", POSITIONS, "o"),
}
PAIRS = {"upper": "both: {upper}", "mixed": "one of each", "lower": "both: {lower}"}
N_BINS = 40


def draw_matrix(
    weights: xr.Dataset,
    channels: xr.Dataset,
    first: int = 256,
    n_tokens: int = 80,
    n_channels: int = 256,
) -> Figure:
    """A chunk of the token embedding as a heat map, between the means that make its stripes.

    Parameters
    ----------
    weights : Dataset
        ``weights.h5``: ``token_embedding`` (vocab, channel) with ``token_str``, perhaps ``special``: such
        tokens are left out; so for every figure of this module.
    channels : Dataset
        As `strata.embedding.channels.describe` returns it; so for every figure of this module.
    first, n_tokens, n_channels : the chunk; a small vocabulary's begins earlier
    """
    token_embedding = ordinary(weights)["token_embedding"]
    first = max(0, min(first, token_embedding.sizes[VOCAB] - n_tokens))
    rows = token_embedding.isel({VOCAB: slice(first, first + n_tokens)}).transpose(VOCAB, CHANNEL).load()
    chunk = rows.values[:, :n_channels].astype(float)
    limit = np.quantile(abs(chunk), 0.99)
    figure = new_figure(11, 7.2)
    grid = figure.add_gridspec(2, 2, width_ratios=(6, 1), height_ratios=(1, 4))
    heat = figure.add_subplot(grid[1, 0])
    above, right = figure.add_subplot(grid[0, 0], sharex=heat), figure.add_subplot(grid[1, 1], sharey=heat)
    edges = -0.5, chunk.shape[1] - 0.5, first + len(chunk) - 0.5, first - 0.5
    look = {"aspect": "auto", "interpolation": "nearest", "extent": edges}
    image = heat.imshow(chunk, cmap=DIVERGING, vmin=-limit, vmax=limit, **look)
    heat.grid(False)
    heat.set(xlabel="channel", ylabel="token (id and string)")
    ids = np.arange(first, first + len(chunk), max(1, len(chunk) // 20))
    strings = rows[TOKEN_STR].values[ids - first]
    heat.set_yticks(ids, [f"{i} {readable(str(s))}" for i, s in zip(ids, strings, strict=True)])
    for label in heat.get_yticklabels():
        label.set(parse_math=False, fontsize="x-small")
    above.plot(channels["token_mean"].values[: chunk.shape[1]], color=TOKENS, lw=1)
    above.set_ylabel("channel's mean\nover tokens")
    right.plot(rows.mean(CHANNEL), ids[0] + np.arange(len(chunk)), color=TOKENS, lw=1)
    right.set_xlabel("token's mean\nover channels")
    right.locator_params(axis="x", nbins=2)
    right.tick_params(axis="x", rotation=30)
    for axes in (above, right):
        axes.tick_params(labelbottom=axes is right, labelleft=axes is above)
    above.axhline(0, color=ASIDE_COLOUR, lw=0.8)
    right.axvline(0, color=ASIDE_COLOUR, lw=0.8)
    figure.colorbar(image, ax=[above, right], label="entry (embedding units)", extend="both", aspect=30)
    shares = [
        f"{float(channels[f'share_of_{what}']):.1%} of the variance lies between {what}' means "
        f"({float(channels[f'share_of_{what}_expected']):.2%} if entries were independent)"
        for what in ("channels", "tokens")
    ]
    told = f"whole matrix, {channels.attrs['tokens']}, exact:"
    figure.suptitle("\n".join([told, *shares]), fontsize="medium")
    return figure


def draw_histograms(weights: xr.Dataset, n: int = 7) -> Figure:
    """Distributions of the first tokens' entries over channels and of the first channels' over tokens."""
    token_embedding = ordinary(weights)["token_embedding"]
    figure = new_figure(11, 4.4)
    over_channels, over_tokens = figure.subplots(1, 2)
    rows = token_embedding.isel({VOCAB: slice(n)}).transpose(VOCAB, CHANNEL)
    columns = token_embedding.isel({CHANNEL: slice(n)}).transpose(CHANNEL, VOCAB)
    names = [f"{i} {readable(str(s))}" for i, s in enumerate(rows[TOKEN_STR].values)]
    _draw_overlaid(over_channels, rows.values, names, "token")
    _draw_overlaid(over_tokens, columns.values, [str(i) for i in range(len(columns))], "channel")
    n_tokens, n_channels = token_embedding.sizes[VOCAB], token_embedding.sizes[CHANNEL]
    over_channels.set_title(f"the first {len(rows)} tokens, each over {n_channels:,} channels")
    over_tokens.set_title(f"the first {len(columns)} channels, each over {n_tokens:,} tokens")
    over_channels.set_ylabel("density")
    return figure


def draw_moments(channels: xr.Dataset) -> Figure:
    """Distributions over channels of mean and standard deviation, over tokens and over positions.

    The standard deviation over positions is on a log axis, with the boundary between its two groups, or
    the median where there are none. Without a position embedding there are tokens only.
    """
    has_positions = "position_std" in channels
    figure = new_figure(11, 7.4 if has_positions else 4)
    panels = figure.subplots(2 if has_positions else 1, 2, squeeze=False)
    for row, stem, colour in zip(panels, ("token", "position"), (TOKENS, POSITIONS), strict=False):
        for axes, moment in zip(row, ("mean", "std"), strict=True):
            values = channels[f"{stem}_{moment}"].values
            log = f"{stem}_{moment}" == "position_std"
            axes.hist(values, bins=_log_bins(values) if log else N_BINS, color=colour, alpha=0.75, lw=0)
            told = {"mean": "mean", "std": "standard deviation"}[moment]
            over = channels.attrs["tokens"] if stem == "token" else "positions"
            axes.set_xlabel(f"{told} over {over}\n(embedding units)")
            if log:
                axes.set_xscale("log")
        row[0].set_ylabel(f"channels, of {len(values)}")
    if has_positions:
        axes = panels[1, 1]
        _draw_boundary(axes, channels)
        outcome = "two groups" if channels.attrs["two_groups"] else "no two groups"
        distance = estimate(channels, "ashmans_d", ".1f")
        told = f"{outcome}: Ashman's D {distance}, BIC gain {float(channels['bic_gain']):.0f}"
        axes.set_title(f"{told}, p of one mode {float(channels['one_mode_p']):.2g}", fontsize="small")
        axes.legend(frameon=False, fontsize="small", loc="upper left")
    else:
        figure.suptitle(f"position embedding {channels.attrs['position_embedding']}", fontsize="medium")
    return figure


def draw_rivalry(channels: xr.Dataset) -> Figure:
    """|mean| and standard deviation over tokens and positions against the latter over positions.

    Beside it, the rivalry: rank correlations over channels, and how often an active channel's value
    exceeds a quiet one's, where there are two groups. A line in its place where there are no positions.
    """
    if "position_std" not in channels:
        return new_notice(f"position embedding {channels.attrs['position_embedding']}")
    two_groups = bool(channels.attrs["two_groups"])
    figure = new_figure(12, 5.6)
    cloud, *tests = figure.subplots(1, 3 if two_groups else 2, width_ratios=(2.4, 1, 1)[: 2 + two_groups])
    std = channels["position_std"].values
    for name, (label, colour, marker) in QUANTITIES.items():
        look = {"s": 14, "marker": marker, "lw": 0.8, "alpha": 0.75, "label": label}
        filled = {"color": colour} if name.endswith("std") else {"facecolor": "none", "edgecolor": colour}
        cloud.scatter(std, abs(channels[name]), **look, **filled)
    cloud.set(xscale="log", yscale="log", ylabel="per channel (embedding units)")
    cloud.set_xlabel("standard deviation over positions (embedding units)")
    values = np.abs([channels[name].values for name in QUANTITIES])
    cloud.set_ylim(np.quantile(values, 0.005) / 1.5, values.max() * 1.6)
    _draw_boundary(cloud, channels)
    cloud.set_title(f"{len(std)} channels; {channels.attrs['split']}", fontsize="small")
    figure.legend(*cloud.get_legend_handles_labels(), frameon=False, ncols=3, loc="outside upper center")
    _draw_tests(tests[0], channels, "rho", 0, "rank correlation\nwith the std over positions", (-1.05, 1.05))
    if two_groups:
        _draw_tests(
            tests[1], channels, "auc", 0.5, "chance that an active\nchannel's is larger", (-0.03, 1.03)
        )
        tests[1].tick_params(labelleft=False)
    told = f"tokens: {channels.attrs['tokens']}; bars: {channels.attrs['interval']:.0%} bootstrap intervals"
    figure.supxlabel(f"{told} over channels", fontsize="small")
    return figure


def draw_pairs(weights: xr.Dataset, channels: xr.Dataset) -> Figure:
    """Tokens and positions in the plane of two channels: both of the upper group, one of each, both lower."""
    if "position_embedding" not in weights:
        return new_notice(f"position embedding {channels.attrs['position_embedding']}")
    token_embedding, position_embedding = ordinary(weights)["token_embedding"], weights["position_embedding"]
    figure = new_figure(12, 4.8)
    panels = figure.subplots(1, 3)
    used = channels["used"].values.astype(bool)
    names = dict(zip(("upper", "lower"), group_names(channels), strict=True))
    for axes, (kind, pair) in zip(panels, channel_pairs(channels).items(), strict=True):
        tokens = token_embedding.isel({CHANNEL: list(pair)}).transpose(CHANNEL, VOCAB).values
        positions = position_embedding.isel({CHANNEL: list(pair)}).transpose(CHANNEL, POSITION).values
        alpha = float(np.clip(2000 / tokens.shape[1], 0.05, 0.5))
        for group, colour in ((used, ASIDE_COLOUR), (~used, LINE_COLOURS[1])):
            look = {"s": 4, "lw": 0, "color": colour, "alpha": alpha, "rasterized": True}
            axes.scatter(*tokens[:, group], **look)
        dots = axes.scatter(*positions, s=10, lw=0, c=np.arange(positions.shape[1]), cmap=SEQUENTIAL)
        axes.set(xlabel=f"channel {pair[0]}", ylabel=f"channel {pair[1]}")
        axes.set_title(PAIRS[kind].format(**names))
    figure.colorbar(dots, ax=list(panels), label="position (tokens)", pad=0.01)
    told = "entries in embedding units; grey: tokens"
    if not used.all():
        told += f"; orange: the {(~used).sum():,} of them that never occur, in training or in the text"
    figure.supxlabel(told, fontsize="small")
    return figure


def _draw_overlaid(axes: Axes, series: np.ndarray, names: list[str], title: str) -> None:
    edges = np.linspace(*np.quantile(series, [0.001, 0.999]), N_BINS + 1)
    for values, name, colour in zip(series, names, LINE_COLOURS, strict=False):
        density, _ = np.histogram(values, edges, density=True)
        axes.stairs(density, edges, color=colour, lw=1.3, label=name)
    as_written(axes.legend(title=title, frameon=False, fontsize="small", loc="upper right"))
    axes.set_xlabel("entry (embedding units)")


def _draw_tests(
    axes: Axes, channels: xr.Dataset, name: str, nothing: float, label: str, limits: tuple[float, float]
) -> None:
    for place, measure in enumerate(RIVALS):
        at = channels.sel({MEASURE: measure})
        value, low, high, p = (float(at[f"{name}{end}"]) for end in ("", "_low", "_high", "_p"))
        colour = QUANTITIES[measure][1]
        axes.plot([low, high], [place] * 2, color=colour, lw=1.6)
        axes.plot(value, place, color=colour, marker="o", ms=6)
        told = in_interval(value, low, high) + ("" if np.isnan(p) else f"\np = {p:.1g}")
        axes.annotate(
            told,
            (np.mean(limits), place),
            (0, 9),
            textcoords="offset points",
            ha="center",
            fontsize="x-small",
        )
    axes.axvline(nothing, color=ASIDE_COLOUR, lw=1)
    names = [
        QUANTITIES[measure][0].replace(" over", "\nover").replace("standard deviation", "std")
        for measure in RIVALS
    ]
    axes.set_yticks(range(len(RIVALS)), names, fontsize="small")
    axes.set(xlim=limits, ylim=(len(RIVALS) - 0.5, -0.6), xlabel=label)


def _draw_boundary(axes: Axes, channels: xr.Dataset) -> None:
    two_groups = channels.attrs["two_groups"]
    label = "between the two groups" if two_groups else "median: no two groups"
    axes.axvline(
        10 ** float(channels["boundary"]), color="black", ls="--" if two_groups else ":", lw=1.2, label=label
    )


def _log_bins(values: np.ndarray) -> np.ndarray:
    above_zero = values[values > 0]
    return np.geomspace(above_zero.min() / 1.05, above_zero.max() * 1.05, N_BINS + 1)
