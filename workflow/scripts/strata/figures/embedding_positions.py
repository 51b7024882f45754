"""Figures of the position embedding as functions of position (`strata.embedding.positions`)."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure, SubFigure

from strata.embedding.channel_groups import group_names
from strata.embedding.names import FREQUENCY, GROUPS
from strata.figures.style import ASIDE_COLOUR, DIVERGING, LINE_COLOURS, SEQUENTIAL, new_figure, new_notice
from strata.figures.told import estimate, in_interval
from strata.names import CHANNEL, CHANNEL_SET, COMPONENT, POSITION

GROUP_COLOURS = dict(zip(GROUPS, (LINE_COLOURS[1], LINE_COLOURS[0]), strict=True))
RANDOM_LOOKS = {"walk": (":", "random walks", "top"), "noise": ("--", "white noise", "bottom")}
POSITION_EMBEDDING = "position_embedding"
MAX_PANELS = 240  # channels of one group on a sheet
CELL = (0.02, 0.98, 0.24, 0.98)  # a channel's frame within its cell: left, right, top, bottom
MIN_FREQUENCY_SHARE = 1e-4


def draw_matrix(weights: xr.Dataset, channels: xr.Dataset) -> Figure:
    """The whole position matrix, channels in the order of their standard deviation over positions.

    Parameters
    ----------
    weights : Dataset
        ``weights.h5``: ``position_embedding`` (position, channel). Where the model has none, a line says
        so; so for every figure of this module.
    channels : Dataset
        As `strata.embedding.channels.describe` returns it.
    """
    if POSITION_EMBEDDING not in weights:
        return new_notice(f"position embedding {channels.attrs['position_embedding']}")
    matrix = weights[POSITION_EMBEDDING].transpose(CHANNEL, POSITION).values.astype(float)
    std = channels["position_std"].values
    order = np.argsort(-std, kind="stable")
    centred = (matrix - matrix.mean(1, keepdims=True))[order]
    figure = new_figure(11, 6.5)
    raw, scaled = figure.subplots(1, 2, sharey=True)
    safe = np.where(std > 0, std, 1)[order, None]
    for axes, values, title, label in (
        (raw, centred, "less its mean over positions", "entry (embedding units)"),
        (scaled, centred / safe, "the same, each channel by its own spread", "entry (standard deviations)"),
    ):
        limit = np.quantile(abs(values), 0.995)
        look = {"aspect": "auto", "interpolation": "nearest", "cmap": DIVERGING}
        image = axes.imshow(values, vmin=-limit, vmax=limit, **look)
        axes.set(xlabel="position (tokens)", title=title)
        axes.grid(False)
        figure.colorbar(image, ax=axes, label=label, location="bottom", aspect=40, extend="both")
    raw.set_ylabel("channels, by standard deviation over positions")
    if channels.attrs["two_groups"]:
        for axes in (raw, scaled):
            axes.axhline(int(channels["upper"].sum()) - 0.5, color="black", ls="--", lw=1.2)
    figure.suptitle(channels.attrs["split"], fontsize="medium")
    return figure


def draw_channels(
    weights: xr.Dataset, channels: xr.Dataset, positions: xr.Dataset, n_quiet: int = 24
) -> Figure:
    """Every active channel against position, and below on a finer axis those that move the least.

    Parameters
    ----------
    positions : Dataset
        As `strata.embedding.positions.describe` returns it.
    n_quiet : int
        Channels of the lower group that are shown, those with the smallest spread.
    """
    positions = positions.load()
    if POSITION_EMBEDDING not in weights:
        return new_notice(f"position embedding {channels.attrs['position_embedding']}")
    matrix = weights[POSITION_EMBEDDING].transpose(POSITION, CHANNEL).values.astype(float)
    order = np.argsort(-channels["position_std"].values, kind="stable")
    n_upper = int(channels["upper"].sum())
    high, low = order[: min(n_upper, MAX_PANELS)], order[n_upper:][-n_quiet:]
    columns = int(np.clip(np.ceil(np.sqrt(1.5 * len(high))), 8, 20))
    rows = [-(-len(group) // columns) for group in (high, low)]
    figure = new_figure(14, 1.6 + 0.85 * sum(rows))
    above, below = figure.subfigures(2, 1, height_ratios=[0.6 + n for n in rows])
    limits = [np.quantile(abs(_centred(matrix)[:, group]), 0.999) * 1.1 for group in (high, low)]
    names = group_names(channels)
    shown = f"all {n_upper}" if len(high) == n_upper else f"{len(high)} largest of {n_upper}"
    _draw_cells(above, matrix, positions, high, columns, limits[0])
    _draw_cells(below, matrix, positions, low, columns, limits[1])
    above.suptitle(f"{names[0]}: {shown} channels, by spread; y from {_span(limits[0])}", fontsize="medium")
    below.suptitle(
        f"{names[1]}: the {len(low)} channels that move the least; a finer axis, y from {_span(limits[1])}",
        fontsize="medium",
    )
    told = "entry less its mean over positions (embedding units) against position; orange: the best single"
    figure.supxlabel(
        f"{told} sinusoid; above: channel, and the share of variance it explains", fontsize="small"
    )
    return figure


def draw_lissajous(weights: xr.Dataset, channels: xr.Dataset, n_channels: int = 5) -> Figure:
    """The channels that move the most, each pair of them in its plane."""
    if POSITION_EMBEDDING not in weights:
        return new_notice(f"position embedding {channels.attrs['position_embedding']}")
    chosen = np.argsort(-channels["position_std"].values, kind="stable")[:n_channels]
    curves = weights[POSITION_EMBEDDING].transpose(CHANNEL, POSITION).values[chosen]
    n = len(chosen) - 1
    figure = new_figure(9.5, 9)
    panels = figure.subplots(n, n, sharex="col", sharey="row", squeeze=False)
    for row, column in np.ndindex(n, n):
        axes = panels[row, column]
        if column > row:
            axes.set_axis_off()
            continue
        x, y = curves[column], curves[row + 1]
        axes.plot(x, y, color=ASIDE_COLOUR, lw=0.4, alpha=0.6)
        dots = axes.scatter(x, y, c=np.arange(len(x)), cmap=SEQUENTIAL, s=6, lw=0)
    for axes, channel in zip(panels[-1], chosen[:-1], strict=True):
        axes.set_xlabel(f"channel {channel}")
    for axes, channel in zip(panels[:, 0], chosen[1:], strict=True):
        axes.set_ylabel(f"channel {channel}")
    figure.colorbar(
        dots, ax=panels[0, 1:].tolist() or panels[0, 0], label="position (tokens)", location="top"
    )
    figure.suptitle(f"the {len(chosen)} channels with the largest spread over positions", fontsize="medium")
    figure.supxlabel("entries in embedding units", fontsize="small")
    return figure


def draw_sinusoids(channels: xr.Dataset, positions: xr.Dataset) -> Figure:
    """How sinusoidal each channel is, at what frequency, with what spectrum; the same of the components."""
    positions = positions.load()
    if "explained" not in positions:
        return new_notice(f"position embedding {positions.attrs['position_embedding']}")
    figure = new_figure(12, 9.6)
    panels = figure.subplots(2, 2)
    _draw_explained(panels[0, 0], positions, channels)
    _draw_frequencies(panels[0, 1], positions, channels)
    _draw_spectra(figure, panels[1, 0], positions, channels)
    _draw_components(panels[1, 1], positions)
    interval = positions.attrs["interval"]
    lines = []
    for group, name in zip(GROUPS, group_names(channels), strict=True):
        at = positions.sel({CHANNEL_SET: group})
        told = ", ".join(
            f"{what} {estimate(at, key)}"
            for what, key in (
                ("explained on average", "mean_explained"),
                (f"share beyond {interval:.0%} of noise", "beyond_noise"),
                ("of walks", "beyond_walk"),
            )
        )
        lines.append(f"{name} ({int(at['mean_explained_n'])}): {told}")
    figure.suptitle("\n".join(lines), fontsize="small")
    return figure


def _draw_explained(axes: Axes, positions: xr.Dataset, channels: xr.Dataset) -> None:
    std, upper = channels["position_std"].values, channels["upper"].values.astype(bool)
    for group, chosen in zip(GROUPS, (upper, ~upper), strict=True):
        axes.scatter(std[chosen], positions["explained"].values[chosen], s=14, color=GROUP_COLOURS[group])
    paper = {"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1}
    for name, (dash, label, side) in RANDOM_LOOKS.items():
        level = np.quantile(positions[f"explained_{name}"], positions.attrs["interval"])
        axes.axhline(level, color="black", ls=dash, lw=1.2)
        told = f" {positions.attrs['interval']:.0%} of {label} lie below"
        axes.text(
            0, level, told, transform=axes.get_yaxis_transform(), va=side, fontsize="x-small", bbox=paper
        )
    axes.set(xscale="log", ylim=(0, 1.02), title="the best single sinusoid")
    axes.set_xlabel("standard deviation over positions (embedding units)")
    axes.set_ylabel("share of variance explained")


def _draw_frequencies(axes: Axes, positions: xr.Dataset, channels: xr.Dataset) -> None:
    upper = channels["upper"].values.astype(bool)
    names = group_names(channels)
    for group, name, chosen in zip(GROUPS, names, (upper, ~upper), strict=True):
        axes.scatter(
            positions["best_frequency"].values[chosen],
            positions["explained"].values[chosen],
            s=14,
            color=GROUP_COLOURS[group],
            label=name,
        )
    axes.set(xscale="log", ylim=(0, 1.02), title="and its frequency")
    axes.set(xlabel="frequency (cycles a position)", ylabel="share of variance explained")
    axes.legend(frameon=False, fontsize="small", loc="upper right")


def _draw_spectra(figure: Figure, axes: Axes, positions: xr.Dataset, channels: xr.Dataset) -> None:
    order = np.argsort(-channels["position_std"].values, kind="stable")
    shares = positions["spectrum"].transpose(CHANNEL, FREQUENCY).values[order]
    frequency = positions[FREQUENCY].values
    step = frequency[0]
    edges = np.append(frequency - step / 2, frequency[-1] + step / 2)
    size = np.log10(np.maximum(shares, MIN_FREQUENCY_SHARE))
    rows = np.arange(len(order) + 1) - 0.5
    image = axes.pcolormesh(edges, rows, size, cmap=SEQUENTIAL, rasterized=True)
    axes.set(xscale="log", xlabel="frequency (cycles a position)", title="spectra of all channels")
    axes.set_ylabel("channels, by standard deviation over positions")
    axes.invert_yaxis()
    axes.grid(False)
    figure.colorbar(image, ax=axes, label="log10 share of the variance", pad=0.01)


def _draw_components(axes: Axes, positions: xr.Dataset) -> None:
    component = positions[COMPONENT].values
    left = positions["component_left"].transpose(COMPONENT, POSITION).values
    for place, line in enumerate(left):
        at = positions.isel({COMPONENT: place})
        axes.plot(positions[POSITION], line / abs(left).max() / 1.6 - place, color=LINE_COLOURS[0], lw=1)
        period = 1 / float(at["component_frequency"])
        share, explained = float(at["component_share"]), float(at["component_explained"])
        told = f"{share:.0%} of variance; sinusoid {explained:.0%}, period {period:.3g}"
        axes.annotate(
            told, (1.01, -place), xycoords=axes.get_yaxis_transform(), fontsize="x-small", va="center"
        )
    axes.set_yticks(-component, component)
    axes.set(xlabel="position (tokens)", ylabel="component (left vector, no unit)")
    axes.set_title("components of the matrix less its mean over positions")


def _draw_cells(
    figure: SubFigure,
    matrix: np.ndarray,
    positions: xr.Dataset,
    chosen: np.ndarray,
    columns: int,
    limit: float,
) -> None:
    """A cell for each channel, row by row; all in one panel, for hundreds take ten times as long to draw.

    The cell in row r and column c spans r to r + 1 downwards and c to c + 1, its name above its frame.
    """
    at = positions.isel({CHANNEL: chosen})
    row, column = np.divmod(np.arange(len(chosen)), columns)
    position = np.arange(len(matrix))[:, None]
    angle = 2 * np.pi * at["best_frequency"].values * position + at["phase"].values
    wave = at["amplitude"].values * np.cos(angle)
    axes = figure.subplots()
    low, high = np.array([column + CELL[0], row + CELL[2]]), np.array([column + CELL[1], row + CELL[3]])
    corners = [low, (low[0], high[1]), high, (high[0], low[1])]
    frames = np.transpose(np.array(corners), (2, 0, 1))
    axes.add_collection(PolyCollection(frames, facecolors="none", edgecolors="#CCCCCC", lw=1.2))
    x = np.broadcast_to(low[0] + 0.02 + (high - low)[0] * 0.96 * position / len(matrix), wave.shape)
    for values, colour, lw in (
        (_centred(matrix)[:, chosen], LINE_COLOURS[0], 0.8),
        (wave, LINE_COLOURS[1], 0.9),
    ):
        share = np.clip(_centred(values) / limit, -1, 1)
        y = (low + high)[1] / 2 - share * (high - low)[1] / 2
        axes.add_collection(LineCollection(np.stack([x, y], axis=-1).swapaxes(0, 1), colors=colour, lw=lw))
    names = zip(chosen, at["explained"].values, low[0], row, strict=True)
    for channel, explained, left, top in names:
        told = f"{channel}: {in_interval(explained, form='.0%')}"
        axes.text(left + 0.47, top + CELL[2], told, ha="center", va="bottom", fontsize=8, in_layout=False)
    axes.set(xlim=(0, columns), ylim=(row.max() + 1, 0))
    axes.set_axis_off()


def _centred(matrix: np.ndarray) -> np.ndarray:
    return matrix - matrix.mean(0)


def _span(limit: float) -> str:
    return f"−{limit:.2g} to {limit:.2g}"
