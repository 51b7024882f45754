"""What models say at each depth and what they keep unsaid, side by side."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from strata.figures.curves import draw_curve, marks, set_log_scale
from strata.figures.style import as_written, line_looks, new_figure
from strata.findings.lens import kl_by_depth
from strata.findings.twins import copied_by_depth, input_rank_by_depth, transitions_by_prompt
from strata.lens.comparison import mean_and_interval
from strata.names import DEPTH, TARGET


def draw_kept(
    lenses: Mapping[str, xr.Dataset],
    probes: Mapping[str, xr.Dataset],
    averages: Mapping[str, xr.Dataset],
    noise: str,
) -> Figure:
    """By share of depth, one line a model: above what is said, below what is kept.

    Above: KL(final ‖ depth), the rank of the input token in its own readout, the share of copied words that
    are among the ten top guesses. Below: linear probes for the input token and the next one, and the share of
    prompts whose final token has taken over.

    Parameters
    ----------
    lenses, probes, averages : name of a model to its lens/logit.nc, lens/probes.nc, trace/by_category.nc
    noise : level of the traces
    """
    figure = new_figure(12, 7.2)
    (distance, rank, copied), (probed, following, taken) = figure.subplots(2, 3, sharex=True)
    for name, look in line_looks(lenses).items():
        look, layers = look | {"label": name}, int(lenses[name][DEPTH][-1])
        # The last depth is the final distribution: at 0, which has no place on a log scale.
        _draw_prompts(distance, kl_by_depth(lenses[name]).iloc[:, :-1], layers, look)
        _draw_prompts(rank, input_rank_by_depth(lenses[name]), layers, look)
        _draw_prompts(copied, copied_by_depth(lenses[name]).astype(float), layers, look, share=True)
        _draw_probe(probed, probes[name].sel({TARGET: "input"}), look)
        _draw_probe(following, probes[name].sel({TARGET: "next"}), look)
        _draw_taken(taken, transitions_by_prompt(averages[name], noise), look)
    set_log_scale(distance)
    distance.set(title="distance from the final guess", ylabel="KL(final ‖ depth) [nat], log scale")
    rank.set(title="the input token, as decoded", ylabel="mean log₁₀(rank + 1)")
    copied.set(title="a copied word is in the top ten", ylabel="share of prompts of copying")
    probed.set(title="the input token, by a linear probe", ylabel="accuracy on held-out text")
    following.set(title="the next token, by a linear probe", ylabel="accuracy on held-out text")
    taken.set(title=f"the final token has taken over (noise {noise})", ylabel="share of prompts that cross")
    for axes in (copied, probed, following, taken):
        axes.set_ylim(-0.02, 1.02)
    handles, labels = distance.get_legend_handles_labels()
    as_written(figure.legend(handles, labels, frameon=False, ncols=4, loc="outside upper center"))
    told = "share of depth; bands: 95 % intervals over facts, of probes over documents"
    figure.supxlabel(told, fontsize="small")
    return figure


def _draw_prompts(
    axes: Axes, values: pd.DataFrame, layers: int, look: Mapping[str, str], share: bool = False
) -> None:
    """The mean over prompts (rows) at each depth (columns); of a share, at most 1."""
    if values.empty:
        return
    places = marks(values.columns)
    values = values.set_axis(values.columns / layers, axis="columns")
    mean, low, high = mean_and_interval(values)
    high = high.clip(upper=1) if share else high
    draw_curve(axes, mean, low.clip(lower=0), high, **look, markevery=places)


def _draw_probe(axes: Axes, probe: xr.Dataset, look: Mapping[str, str]) -> None:
    depths = probe[DEPTH].values
    ends = [pd.Series(probe[f"accuracy{end}"].values, depths / depths[-1]) for end in ("", "_low", "_high")]
    draw_curve(axes, *ends, **look, markevery=marks(depths))


def _draw_taken(axes: Axes, transitions: pd.Series, look: Mapping[str, str]) -> None:
    """Which share of the prompts that have a transition have it by then."""
    crossed = np.sort(transitions.dropna().to_numpy())
    if not len(crossed):
        return
    shares = np.arange(len(crossed) + 1) / len(crossed)
    look = {key: value for key, value in look.items() if key != "marker"}
    axes.plot([0, *crossed, 1], [*shares, 1], drawstyle="steps-post", lw=1.6, **look)
