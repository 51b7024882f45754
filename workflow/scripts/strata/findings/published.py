"""Figures that were published of a model, from that model's own results."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from strata.findings.estimates import UNDEFINED, Estimate, read, read_mean
from strata.names import CATEGORY, FACT, LAYER, NOISE, PROMPT, SAMPLE, SITE
from strata.stats.bootstrap import Bootstrap


def probability(trace: xr.Dataset, category: str, statistics: Mapping, noise: str = "") -> Estimate:
    """Mean probability of the target, the subject corrupted by a level of noise or, without one, clean.

    Parameters
    ----------
    trace : of trace/state.nc
    statistics : ``resamples``, ``interval`` and ``seed`` of the bootstrap over facts
    """
    chosen = trace[CATEGORY].values == category
    if not chosen.any() or noise and noise not in trace[NOISE].values:
        return Estimate(missing=f"no prompts of category {category}{f' at noise {noise}' if noise else ''}")
    values = trace["p_corrupted"].sel({NOISE: noise}).mean(SAMPLE) if noise else trace["p_clean"]
    facts = trace[FACT].values[chosen]
    bootstrap = Bootstrap(**statistics).of("findings")
    return read(bootstrap.estimate("p", np.mean, values.values[chosen], clusters=facts), "p")


def noise_deviation(averages: xr.Dataset, noise: str) -> Estimate:
    """Standard deviation of a level of noise, embedding units: exact.

    Parameters
    ----------
    averages : of trace/by_category.nc
    """
    if noise not in averages[NOISE].values:
        return Estimate(missing=f"no noise {noise} in the results")
    return Estimate.of_weights(float(averages["noise_sd"].sel({NOISE: noise})), averages.sizes[PROMPT])


def peak_layer(averages: xr.Dataset, noise: str, category: str, site: str, statistics: Mapping) -> Estimate:
    """The layer whose output restores most of the target's probability, on average over prompts.

    Parameters
    ----------
    averages : of trace/by_category_attn.nc or trace/by_category_mlp.nc
    """
    if noise not in averages[NOISE].values:
        return Estimate(missing=f"no noise {noise} in the results")
    at = averages.sel({NOISE: noise, SITE: site})
    counted = (at["prompt_category"] == category) & at["included"]
    if not counted.any():
        return Estimate(missing=f"no prompts of category {category}")
    curves = at["restoration_prompt"].isel({PROMPT: counted.values}).transpose(LAYER, PROMPT)

    def layer_of_most(values: np.ndarray, axis: int) -> np.ndarray:
        return values.mean(axis).argmax(0).astype(float)

    found = Bootstrap(**statistics).of("findings").estimate("peak", layer_of_most, curves.values)
    return Estimate(missing=UNDEFINED) if not int(found["peak_n"]) else read(found, "peak")


def first_position_in_text(text: xr.Dataset, first: int = 0, last: int | None = None) -> Estimate:
    """Attention on the first position over texts, mean over heads and some layers.

    Unit: documents. The ends are the means of those of layers: wide.

    Parameters
    ----------
    text : of attention_text.nc
    first, last : the first layer, and the one before which it ends
    """
    chosen = text.sel(heads="mean").isel({LAYER: np.arange(text.sizes[LAYER])[first:last]})
    return read_mean(chosen, "first_of_heads_in_text", int(text["n_documents_in_text"]))
