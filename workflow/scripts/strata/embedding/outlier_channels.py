"""What becomes of channels with outlying gains: who reads and writes them, and what they do to the logits.

Such channels are candidate frequency features (`strata.embedding.frequency`). Every weight is compared with
that of all other channels, and silencing one with silencing others.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from scipy.stats import rankdata
from torch import Tensor
from torch.nn.functional import cross_entropy

from strata.embedding.component_properties import spearman_interval
from strata.embedding.names import DIRECTION, PART, READING
from strata.model.head_rows import READINGS
from strata.model.slices import READS_AND_WRITES, head_reads, key_sizes, slice_sizes
from strata.model.weights import norm_parameters
from strata.names import CHANNEL, HEAD, LAYER, K
from strata.progress import Progress, silent
from strata.stats.bootstrap import Bootstrap
from strata.stats.ranks import columnwise_rank_correlation
from strata.stats.seeding import generator

if TYPE_CHECKING:
    from strata.model.architecture import Parts

OUTLIER, RANDOM = "outlier", "random"
TOP_KEYS = 5
TOP_SHARE = 0.01
"""Of the channels: those that are among a key's largest."""


def follow(
    parts: "Parts",
    states: Tensor,
    following: np.ndarray,
    document: np.ndarray,
    frequency: xr.Dataset,
    *,
    draws: int,
    resamples: int,
    interval: float,
    seed: int,
    progress: Progress = silent,
) -> xr.Dataset:
    """Follow outlying channels from the weights that write them to the logits.

    Parameters
    ----------
    states : (token, channel)
        Of held-out text, entering the final norm.
    following, document : (token), the next token (-1: none) and the document of each
    frequency : Dataset
        As `strata.embedding.frequency.analyse` returns it: ``channel_role``, ``count``, ``token_id``.
    draws : channels at random that are silenced for comparison
    resamples, interval, seed : of the bootstrap over documents; ``seed`` draws the channels too

    Returns
    -------
    Dataset
        ``role`` (channel): "outlier", "control", "random", or empty. ``slice_percentile`` (part, layer,
        channel), ``head_percentile`` (layer, head, channel) of what heads write and ``head_read_percentile``
        (reading, layer, head, channel): among all channels, by the sizes of `strata.model.slices`. Of single
        MLP keys what `_of_keys` says. ``direct_rho`` (channel): Spearman's correlation of log frequency
        with what the channel adds to the logits of tokens that were seen, its column of the unembedding
        times the final gain, with ``_low`` and ``_high`` (Bonett and Wright 2000). ``final_mean``,
        ``final_deviation`` (channel) of the states. With the channel set to that mean, for channels that
        have a role: ``loss_change``, ``entropy_change`` (channel), nat a token, with intervals; ``loss``,
        ``entropy`` untouched; ``n_tokens``.
    """
    role = frequency["channel_role"].values.astype(object)
    others = np.flatnonzero(role == "")
    role[generator(seed, RANDOM).choice(others, min(draws, len(others)), replace=False)] = RANDOM
    tried = np.flatnonzero(role != "")

    sizes, by_head = slice_sizes(parts)
    rho, low, high = _direct(parts, frequency, interval)
    kept = following >= 0
    states, following = states[torch.from_numpy(kept)].to(parts.device), torch.from_numpy(following[kept])
    silenced = _silenced(parts, states, following, tried, progress)
    untouched, changes = silenced[0], silenced[1:] - silenced[0]
    per_token = _PerToken(document[kept], Bootstrap(resamples, interval, seed))
    changed = [per_token(f"{name}_change", changes[:, i], (CHANNEL,)) for i, name in enumerate(MEASURES)]
    measured = xr.merge(changed).assign_coords({CHANNEL: tried})
    every = np.arange(len(role))
    result = xr.Dataset(
        {
            "role": (CHANNEL, role),
            "slice_percentile": ((PART, LAYER, CHANNEL), _percentile(sizes.numpy())),
            "head_percentile": ((LAYER, HEAD, CHANNEL), _percentile(by_head.numpy())),
            "head_read_percentile": (
                (READING, LAYER, HEAD, CHANNEL),
                _percentile(head_reads(parts).numpy()).astype("f4"),
            ),
            **_of_keys(parts),
            "direct_rho": (CHANNEL, rho),
            "direct_rho_low": (CHANNEL, low),
            "direct_rho_high": (CHANNEL, high),
            "final_mean": (CHANNEL, states.mean(0).cpu().numpy()),
            "final_deviation": (CHANNEL, states.std(0).cpu().numpy()),
            "n_tokens": len(following),
        },
        coords={
            CHANNEL: every,
            PART: list(READS_AND_WRITES),
            READING: list(READINGS),
            DIRECTION: ["reads", "writes"],
        },
        attrs={"interval": interval, "seed": seed, "top_channels": _n_top(len(role))},
    )
    alone = [per_token(name, untouched[i], ()) for i, name in enumerate(MEASURES)]
    return xr.merge([result, *alone, measured.reindex({CHANNEL: every})], combine_attrs="drop_conflicts")


MEASURES = ("loss", "entropy")


@torch.inference_mode()
def _silenced(
    parts: "Parts",
    states: Tensor,
    following: Tensor,
    channels: np.ndarray,
    progress: Progress,
    rows: int = 512,
) -> np.ndarray:
    """Loss and entropy (nothing or channel, measure, token): untouched, and with each channel at its mean."""
    mean, found = states.mean(0), []
    for channel in progress([None, *channels], "silenced channels"):
        each = []
        for some, targets in zip(states.split(rows), following.split(rows), strict=True):
            if channel is not None:
                some = some.clone()
                some[:, channel] = mean[channel]
            logits = parts.logits(some.to(parts.model.dtype)).float()
            chances = logits.softmax(-1)
            loss = cross_entropy(logits, targets.to(logits.device), reduction="none")
            each.append(torch.stack([loss, torch.special.entr(chances).sum(-1)]).cpu())
        found.append(torch.cat(each, 1))
    return torch.stack(found).numpy().astype(float)


@torch.no_grad()
def _direct(parts: "Parts", frequency: xr.Dataset, interval: float) -> tuple[np.ndarray, ...]:
    """Rank correlation (channel) of log frequency with a channel's own part of the logits, and its ends."""
    unembedding = parts.unembedding.weight.float()
    if parts.project_out is not None:
        unembedding = unembedding @ parts.project_out.weight.float()
    gain = norm_parameters(parts.final_norm, parts.n_channels).gain.float().to(unembedding.device)
    seen = frequency["count"].values > 0
    ids = torch.from_numpy(frequency["token_id"].values[seen]).to(unembedding.device)
    part = (unembedding[ids] * gain).cpu().numpy()
    count = frequency["count"].values[seen]
    rho = columnwise_rank_correlation(part, count, np.ones(len(count), bool))
    return (rho, *spearman_interval(rho, len(count), interval))


def _n_top(n_channels: int) -> int:
    return max(1, round(TOP_SHARE * n_channels))


def _of_keys(parts: "Parts") -> dict[str, tuple]:
    """Which MLP keys read and write each channel, by layer; variables of a Dataset.

    ``keys_at_top`` (direction, layer, channel): share of the keys for which the channel is among the
    `_n_top` that they read (write) most. ``top_key`` (..., k, channel): the keys that give it the largest
    share of all they read (write), in squares: ``top_key_share``. ``top_key_percentile``: where it stands
    among all channels there. NaN, and -1 for keys, where weights are not in memory.
    """
    layers = [_of_keys_in(key_sizes(parts, layer)) for layer in range(parts.n_layers)]
    return {
        name: ((DIRECTION, LAYER, *dims, CHANNEL), np.stack([layer[name] for layer in layers], 1))
        for name, dims in OF_KEYS.items()
    }


OF_KEYS = {"keys_at_top": (), "top_key": (K,), "top_key_share": (K,), "top_key_percentile": (K,)}


def _of_keys_in(sizes: Tensor) -> dict[str, np.ndarray]:
    """The same of one layer, from sizes (direction, key, channel)."""
    n = sizes.shape[-1]
    rank = sizes.argsort(-1).argsort(-1)
    share = sizes.square() / sizes.square().sum(-1, keepdim=True)
    top_share, top = share.topk(min(TOP_KEYS, sizes.shape[1]), 1)
    unknown = sizes.isnan().any(-1).any(-1)[:, None, None]
    return {
        "keys_at_top": (rank >= n - _n_top(n))
        .float()
        .mean(1)
        .masked_fill(unknown[..., 0], torch.nan)
        .numpy(),
        "top_key": top.masked_fill(unknown, -1).numpy(),
        "top_key_share": top_share.masked_fill(unknown, torch.nan).numpy(),
        "top_key_percentile": (100 * rank.gather(1, top) / (n - 1)).masked_fill(unknown, torch.nan).numpy(),
    }


def _percentile(sizes: np.ndarray) -> np.ndarray:
    """Where each channel stands among all (last axis): 0 the least, 100 the most; NaN stays."""
    ranks = rankdata(sizes, axis=-1, nan_policy="omit")
    return 100 * (ranks - 1) / (sizes.shape[-1] - 1)


class _PerToken:
    """Means over tokens of values (..., token), with intervals from resampling documents."""

    def __init__(self, document: np.ndarray, bootstrap: Bootstrap):
        self._index = np.unique(document, return_inverse=True)[1]
        self._bootstrap = bootstrap

    def __call__(self, name: str, values: np.ndarray, dims: tuple[str, ...]) -> xr.Dataset:
        inside = self._index == np.arange(self._index.max() + 1)[:, None]
        return self._bootstrap.of_totals(name, values @ inside.T, inside.sum(1), dims)
