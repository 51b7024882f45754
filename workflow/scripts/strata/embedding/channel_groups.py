"""The two groups of channels that `strata.embedding.channels.split` finds, as figures name and pick them."""

import numpy as np
import xarray as xr


def group_names(channels: xr.Dataset) -> tuple[str, str]:
    """What the upper and the lower group are called: active and quiet only where there are two groups."""
    if channels.attrs["two_groups"]:
        return "position-active", "quiet"
    return "the half that moves more", "the half that moves less"


def channel_pairs(channels: xr.Dataset) -> dict[str, tuple[int, int]]:
    """Three pairs of channels: both of the upper group, one of each, both of the lower.

    The upper group's are those with the largest standard deviations over positions, the lower group's
    those with the smallest.
    """
    order = np.argsort(channels["position_std"].values, kind="stable")
    high, low = order[::-1], order
    return {
        "upper": (int(high[0]), int(high[1])),
        "mixed": (int(high[0]), int(low[0])),
        "lower": (int(low[0]), int(low[1])),
    }
