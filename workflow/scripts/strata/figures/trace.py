"""Figures of the causal traces of single prompts (`strata.trace`)."""

from collections.abc import Iterable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from strata.figures.style import SEQUENTIAL, new_figure, notice_of_rejection, readable
from strata.figures.trace_panels import axis_of, folded, hide_empty, image_extent, label_axis, noise_name
from strata.names import NOISE, PROMPT, SAMPLE, TOKEN_STR
from strata.text.tokens import plain_text
from strata.trace.names import N_TOKENS, SUBJECT_POSITION, SUBJECT_START


def draw_trace(state: xr.Dataset, prompt: str) -> Figure:
    """One prompt: probability of the target with one state restored, by depth and token.

    One panel for each noise level. Noised tokens are starred; tokens before them, where nothing can be
    restored, stand at the corrupted value. The title tells the top guess and the clean probability. A
    line in its place where the prompt was not traced.

    Parameters
    ----------
    state : Dataset
        ``trace/state.nc``, or a trace by layer.
    prompt : str
        The prompt's id.
    """
    if prompt not in state[PROMPT].values:
        return notice_of_rejection(prompt)
    trace = state.sel({PROMPT: prompt}).load()
    levels = trace[NOISE].values
    columns, places = folded(levels)
    blocks = -(-len(levels) // columns)
    height = max(1.6, 0.9 + 0.36 * len(_restored_tokens(trace)))
    figure = new_figure(1.5 + (5.0 if columns < 3 else 4.0) * columns, 0.9 + height * blocks)
    panels = figure.subplots(blocks, columns, squeeze=False, sharey=True)
    highest = _highest([trace])
    for level, place in places.items():
        image = _draw_probability(panels[place], trace.sel({NOISE: level}), highest)
        panels[place].set_title(_corrupted(trace, level), parse_math=False)
    _label_traces(figure, panels, trace, image)
    return figure


def draw_trace_windows(
    state: xr.Dataset, mlp: xr.Dataset, attn: xr.Dataset, prompt: str, noise: str
) -> Figure:
    """One prompt: states, outputs of windows of MLPs, and of attention restored.

    Parameters
    ----------
    state, mlp, attn : Dataset
        ``trace/state.nc``, ``trace/mlp.nc`` and ``trace/attn.nc``, of the same prompts.
    prompt : str
        The prompt's id.
    noise : str
        The noise level drawn.
    """
    if prompt not in state[PROMPT].values:
        return notice_of_rejection(prompt)
    runs = {"state": state, "MLP window": mlp, "attention window": attn}
    traces = {name: run.sel({PROMPT: prompt}).load() for name, run in runs.items()}
    trace = traces["state"]
    height = max(3.4, 1.5 + 0.36 * len(_restored_tokens(trace)))
    figure = new_figure(1.5 + 4.0 * len(traces), height)
    panels = figure.subplots(1, len(traces), squeeze=False, sharey=True)
    highest = _highest([each.sel({NOISE: [noise]}) for each in traces.values()])
    for axes, (name, each) in zip(panels[0], traces.items(), strict=True):
        image = _draw_probability(axes, each.sel({NOISE: noise}), highest)
        axes.set_title(name, parse_math=False)
    _label_traces(figure, panels, trace, image, f"\n{_corrupted(trace, noise)}")
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
    return f"{noise_name(level, trace)}: {told}"


def _highest(traces: Iterable[xr.Dataset]) -> float:
    return max(max(float(t["p_clean"]), float(t["p_target"].mean(SAMPLE).max())) for t in traces)


def _draw_probability(axes: Axes, trace: xr.Dataset, highest: float) -> AxesImage:
    """A trace of one prompt at one noise level."""
    tokens = slice(int(trace[SUBJECT_START]), int(trace[N_TOKENS]))
    axis = axis_of(trace)
    p = trace["p_target"].mean(SAMPLE).transpose(axis, ...).values[:, tokens].T
    p = np.where(np.isnan(p), float(trace["p_corrupted"].mean(SAMPLE)), p)  # not noised: nothing to restore
    extent = image_extent(trace[axis].values, len(p))
    image = axes.imshow(p, aspect="auto", cmap=SEQUENTIAL, vmin=0, vmax=highest, extent=extent)
    label_axis(axes, trace[axis].values, axis)
    axes.grid(False)
    return image


def _label_traces(
    figure: Figure, panels: np.ndarray, trace: xr.Dataset, image: AxesImage, told: str = ""
) -> None:
    labels = _restored_tokens(trace)
    hide_empty(panels)
    for axes in panels[:, 0]:
        axes.set_yticks(range(len(labels)), labels)
        for label in axes.get_yticklabels():
            label.set_parse_math(False)
    figure.supylabel("restored token (* noised)", fontsize="medium")
    measured, target = _measured(trace)
    bar = figure.colorbar(image, ax=panels, pad=0.01)
    bar.ax.set_ylabel(f"probability of {measured},\nmean of noise samples", parse_math=False)
    guess, clean = _quoted(str(trace["top_str"].values)), float(trace["p_clean"])
    words = f"top guess {guess}; clean probability of {target}: {clean:.2f}"
    figure.suptitle(words + told, parse_math=False)


def _measured(trace: xr.Dataset) -> tuple[str, str]:
    """The token whose probability is measured, and the same with the target that it begins.

    Prompts are traced where the top guess is the target's first token. What is no such guess, in a trace
    made otherwise, is called by the whole target.
    """
    guess, target = str(trace["top_str"].values), str(trace["target"].values)
    whole = _quoted(target.replace(" ", "Ġ"))
    first = plain_text(guess)
    if first == target:
        return whole, whole
    if target.startswith(first):
        return _quoted(guess), f"{_quoted(guess)} (first token of {whole})"
    return f"the first token of {whole}", f"the first token of {whole}"


def _quoted(token: str) -> str:
    return f"“{readable(token)}”"
