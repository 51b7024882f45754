"""Channels with outsized values at the first position, and whether they are known otherwise."""

import numpy as np
import xarray as xr
from scipy import stats

from strata.attention.precision import as_float32
from strata.embedding.channels import position_active
from strata.embedding.gains import gain_outliers
from strata.embedding.names import NORMS
from strata.names import CHANNEL, CHANNEL_SET, DEPTH, LAYER
from strata.stats.many_tests import with_adjusted

CHANNEL_SETS = (*NORMS, "position")


def outsized_channels(
    in_text: xr.Dataset, weights: xr.Dataset, *, among_channels: float, among_positions: float, share: float
) -> xr.Dataset:
    """Which channels carry outsized values at the first position, and are they known otherwise?

    Outsized at a depth is a channel whose mean |h| at position 0 is at least ``among_channels`` times the
    median channel's there, and whose ratio of that to its mean |h| at other positions is at least
    ``among_positions`` times the median channel's ratio. A set's overlap with them is compared with chance:
    as many channels drawn at random (hypergeometric, one-sided).

    Parameters
    ----------
    in_text : Dataset
        As `strata.attention.over_text.over_text` returns it.
    weights : Dataset
        ``norm1_gain``, ``norm2_gain`` (layer, channel), and ``position_embedding`` (position, channel),
        but those that the model has not.
    share : float
        Of the depths 1 to L at which a channel has to be outsized to be so altogether, and of the layers
        in which its gain has to be an outlier (see `strata.embedding.gains.gain_outliers`) to be in a set.

    Returns
    -------
    Dataset
        ``outsized`` (depth, channel), ``outsized_overall`` (channel), ``relative_magnitude`` (depth,
        channel); ``outlier_layers`` (channel_set, channel), the share of layers in which the gain is an
        outlier (NaN for positions, and for a norm that is not there); ``in_set`` (channel_set, channel), see
        `CHANNEL_SETS`. By (channel_set, depth): ``n_overlap``, ``n_expected`` by chance, ``p_overlap`` of as
        many or more by chance, and ``p_overlap_adjusted`` for all of these, NaN where there is
        nothing to overlap; the same with ``_overall`` (channel_set). Where the model has no position
        embedding, or its channels make no two groups (see `strata.embedding.channels.position_active`),
        that set is empty and the attribute ``position_set`` says why.

    Raises
    ------
    ValueError
        If ``share`` is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is above 0 and at most 1, not {share}")
    first, others = in_text["magnitude_first"].astype(float), in_text["magnitude_others"].astype(float)
    ratio = first / others
    large = first >= among_channels * first.median(CHANNEL)
    outsized = large & (ratio >= among_positions * ratio.median(CHANNEL))
    overall = outsized.isel({DEPTH: slice(1, None)}).mean(DEPTH) >= share

    active, position_set = np.zeros(first.sizes[CHANNEL], bool), "no position embedding"
    if "position_embedding" in weights:
        active, position_set = position_active(weights["position_embedding"])
    outlying = [
        gain_outliers(weights[name]).mean(LAYER).values if name in weights else np.full(len(active), np.nan)
        for name in NORMS
    ]
    members = np.stack([*(layers >= share for layers in outlying), active])
    sets = xr.DataArray(members, dims=(CHANNEL_SET, CHANNEL), coords={CHANNEL_SET: list(CHANNEL_SETS)})
    layers = sets.copy(data=np.stack([*outlying, np.full(len(active), np.nan)]))
    return as_float32(
        xr.Dataset(
            {
                "outsized": outsized,
                "outsized_overall": overall,
                "relative_magnitude": ratio,
                "outlier_layers": layers,
                "in_set": sets,
                **_overlap(sets, outsized, ""),
                **_overlap(sets, overall, "_overall"),
            },
            attrs={
                "among_channels": among_channels,
                "among_positions": among_positions,
                "share": share,
                "position_set": position_set,
            },
        )
    )


def _overlap(sets: xr.DataArray, outsized: xr.DataArray, end: str) -> xr.Dataset:
    n_channels = sets.sizes[CHANNEL]
    n_set, n_outsized = sets.sum(CHANNEL), outsized.sum(CHANNEL)
    n_overlap = (sets & outsized).sum(CHANNEL)

    def chance(overlap: np.ndarray, members: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        return stats.hypergeom.sf(overlap - 1, n_channels, members, drawn)

    p = xr.apply_ufunc(chance, n_overlap, n_set, n_outsized)
    found = xr.Dataset(
        {
            f"n_overlap{end}": n_overlap,
            f"n_expected{end}": n_set * n_outsized / n_channels,
            f"p_overlap{end}": p.where((n_set > 0) & (n_outsized > 0)),
        }
    )
    return with_adjusted(found, f"p_overlap{end}")
