"""Attention on the first position far into a text, over samples of 800 tokens in Kinniment (2022).

The first position is where a head rests that finds nothing (Xiao et al. 2023). How much of a head's attention
stays there when there is ever more to look at is only seen in long texts.
"""

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from strata.attention.precision import as_float32
from strata.model.architecture import Parts
from strata.model.batching import batches
from strata.model.capture import watching
from strata.names import HEAD, LAYER, POSITION
from strata.progress import Progress, silent
from strata.stats.bootstrap import Bootstrap
from strata.stats.groups import each


@torch.inference_mode()
def first_by_position(
    parts: Parts,
    samples: Sequence[Sequence[int]],
    bootstrap: Bootstrap,
    progress: Progress = silent,
    max_tokens: int = 2048,
) -> xr.Dataset:
    """How much every position of long samples attends to the first.

    Of what a layer computes the first column alone is kept: memory is that of one batch's attention in one
    layer, and of the result for every sample.

    Parameters
    ----------
    samples : token ids, all of one length
    bootstrap : over samples
    max_tokens : that go through the model at once, unless one sample alone has more

    Returns
    -------
    Dataset, float32
        ``first_by_position`` (layer, head, position): mean over samples of the attention that the query at
        that position pays to the first. ``first_of_layer`` (layer, position), the mean over heads, with
        ``first_of_layer_low``, ``first_of_layer_high`` (NaN for a single sample) and ``first_of_layer_n``.

    Raises
    ------
    ValueError
        If there are no samples, their lengths differ, or the model's context is shorter.
    """
    lengths = {len(sample) for sample in samples}
    if len(lengths) != 1:
        raise ValueError(f"samples are of one length, not {sorted(lengths)}")
    (n_positions,) = lengths
    double = {"dtype": torch.float64, "device": parts.device}
    of_head = torch.zeros(parts.n_layers, parts.n_heads, n_positions, **double)
    of_layer = torch.zeros(parts.n_layers, n_positions, len(samples), **double)

    def see(layer: int, patterns: Tensor) -> None:
        first = patterns[..., 0].double()  # (sample, head, query)
        of_head[layer] += first.sum(0)
        of_layer[layer][:, batch.which] = first.mean(1).T

    with watching(parts, attention=see):
        for batch in progress(batches(samples, max_tokens, parts), "batches of long samples"):
            parts.model.base_model(input_ids=batch.ids, use_cache=False)

    def with_interval(layer: int) -> xr.Dataset:
        shares = of_layer[layer].cpu().numpy()
        return bootstrap.estimate("first_of_layer", np.mean, shares, dims=(POSITION,))

    by_head = (LAYER, HEAD, POSITION), (of_head / len(samples)).cpu().numpy()
    by_layer = each(LAYER, range(parts.n_layers), with_interval)
    coordinates = {HEAD: range(parts.n_heads), POSITION: range(n_positions)}
    return as_float32(
        by_layer.assign(first_by_position=by_head, first_of_layer_n=len(samples)).assign_coords(coordinates)
    )
