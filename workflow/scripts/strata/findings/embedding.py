"""The embedding matrix and the norms' gains: statistics of what Scherlis (2022) found in GPT-2 small."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from strata.findings.estimates import Estimate, read
from strata.names import CHANNEL, COMPONENT, LAYER, MEASURE, TOKEN_SET, VOCAB

NO_POSITIONS = "no position embedding"


def first_is_mean(embedding: xr.Dataset) -> Estimate:
    """Absolute cosine of the first right singular vector and the mean embedding: exact.

    Parameters
    ----------
    embedding : of embedding.nc
    """
    return Estimate.of_weights(abs(float(embedding["cosine_mean"][0])), embedding.sizes[VOCAB])


def leading_space(components: xr.Dataset, component: int) -> Estimate:
    """How well an SVD component tells tokens with and without leading space: |AUC − ½|, at most ½.

    Chance is what 95 % of random directions stay below. Unit: tokens.

    Parameters
    ----------
    components : of embedding/components.nc
    """
    where = {TOKEN_SET: "all", "basis": "svd", COMPONENT: component, "property": "leading space"}
    counted = ("n_with", "n_without")
    n = sum(int(components[key].sel({TOKEN_SET: "all", "property": "leading space"})) for key in counted)
    found = read(components, "auc", n=n, **where)
    if found.missing:
        return found
    away = Estimate(found.value - 0.5, found.low - 0.5, found.high - 0.5, n)
    value, low, high = _magnitude(away)
    chance = components["auc_random"].sel({TOKEN_SET: "all", "property": "leading space"})
    return Estimate(value, low, high, n, chance=float(chance))


def with_frequency(frequency: xr.Dataset, feature: str) -> Estimate:
    """Rank correlation of a feature of tokens with their log frequency, over tokens that occur.

    Parameters
    ----------
    frequency : of embedding/frequency.nc
    """
    where = {TOKEN_SET: "seen", "feature": feature, "other": "log frequency", "given": "nothing"}
    return read(frequency, "rho", n=_seen(frequency), **where)


def outlier_channel(frequency: xr.Dataset) -> Estimate:
    """Absolute rank correlation with log frequency of the channel whose gains are outliers most often.

    Chance is what 95 % of all other channels stay below. Unit: token types.
    """
    roles = frequency["role"].values
    names = frequency["feature"].values[roles == "outlier"]
    if not len(names):
        return Estimate(missing="no channel has outlying gains")
    found = with_frequency(frequency, names[0])
    if found.missing:
        return found
    channel = int(names[0].removeprefix("channel "))
    others = frequency["channel_rho"].sel({TOKEN_SET: "seen"}).drop_sel({CHANNEL: channel})
    value, low, high = _magnitude(found)
    return Estimate(value, low, high, found.n, chance=float(np.nanquantile(np.abs(others), 0.95)))


def standing_out(frequency: xr.Dataset) -> Estimate:
    """In what share of all norms the gain of one channel is an outlier, of the one most often: exact.

    Parameters
    ----------
    frequency : of embedding/frequency.nc
    """
    share = frequency["outlying_share"]
    if share.isnull().all():
        return Estimate(missing="no norm has gains")
    return Estimate.of_weights(float(share.max()), share.sizes[CHANNEL])


def outliers_among(gains: xr.Dataset, channels: Sequence[int]) -> Estimate:
    """How many of these channels are among as many whose gains are outliers in most layers: exact.

    Parameters
    ----------
    gains : of embedding/gains.nc
    """
    most = gains["outlier_layers"].values.argsort(kind="stable")[::-1][: len(channels)]
    return Estimate.of_weights(len(set(channels) & set(most.tolist())), gains.sizes[CHANNEL])


def own_match(zero_layer: xr.Dataset) -> Estimate:
    """Share of tokens whose best match among all embeddings is their own.

    Parameters
    ----------
    zero_layer : of embedding/zero_layer.nc
    """
    return read(zero_layer, "share", variant="embedding")


def other_exceptions(zero_layer: xr.Dataset) -> Estimate:
    """Share of the tokens that do not match themselves whose match differs in no kind that is named."""
    return read(zero_layer, "kind_share", variant="embedding", kind="other")


def rarer_in_clump(clump: xr.Dataset) -> Estimate:
    """Probability that a token in a clump is rarer than one in none, ties counted half.

    Parameters
    ----------
    clump : of embedding/clump.nc
    """
    if "rarer_share" not in clump and "n_clumps" not in clump.attrs:
        return Estimate(missing=clump.attrs["clump"])
    if not int(clump.attrs["n_clumps"]):
        return Estimate(refuted="no clump of tokens is there")
    return read(clump, "rarer_share")


def two_groups(channels: xr.Dataset) -> Estimate:
    """Ashman's D of the two groups of channels by how far position moves them: above 2 they are apart.

    Parameters
    ----------
    channels : of embedding/channels.nc
    """
    return _of_positions(channels, "ashmans_d")


def moved_channels(channels: xr.Dataset, deviation: float) -> Estimate:
    """How many channels' deviation between positions is above ``deviation``, embedding units: exact."""
    if not _has_positions(channels):
        return Estimate(missing=NO_POSITIONS)
    return Estimate.of_weights(int((channels["position_std"] > deviation).sum()), channels.sizes[CHANNEL])


def larger_means(channels: xr.Dataset) -> Estimate:
    """Rank correlation over channels of the deviation between positions with the size of tokens' mean."""
    return _of_positions(channels, "rho", **{MEASURE: "token_mean"})


def avoided(channels: xr.Dataset) -> Estimate:
    """Rank correlation over channels of the deviation between positions with that between tokens."""
    return _of_positions(channels, "rho", **{MEASURE: "token_std"})


def turned_down(gains: xr.Dataset) -> Estimate:
    """Rank correlation over channels of layer 0's first gain with how far position moves a channel.

    Parameters
    ----------
    gains : of embedding/gains.nc
    """
    return _of_positions(gains, "rho", norm="norm1_gain", **{LAYER: 0})


def _has_positions(data: xr.Dataset) -> bool:
    return data.attrs.get("position_embedding") == "present"


def _of_positions(data: xr.Dataset, name: str, **where) -> Estimate:
    if not _has_positions(data):
        return Estimate(missing=NO_POSITIONS)
    return read(data, name, **where)


def _seen(frequency: xr.Dataset) -> int:
    return int(frequency["n_tokens"].sel({TOKEN_SET: "seen"}))


def _magnitude(signed: Estimate) -> tuple[float, float, float]:
    """Value and interval of the absolute value; from 0 where the interval spans 0."""
    ends = sorted((abs(signed.low), abs(signed.high)))
    return abs(signed.value), 0.0 if signed.low < 0 < signed.high else ends[0], ends[1]
