"""The gains of the norms, by layer and channel."""

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from strata.embedding import NO_POSITIONS
from strata.embedding.names import NORM, NORMS
from strata.names import CHANNEL, LAYER
from strata.stats.bootstrap import Bootstrap
from strata.stats.many_tests import MAXIMUM, with_adjusted
from strata.stats.permutation import p_value, permuted
from strata.stats.ranks import rank_correlation
from strata.stats.seeding import generator

OUTLIER_SCORE = 3.5
"""Modified z-score beyond which a value is an outlier (Iglewicz and Hoaglin 1993)."""

NO_GAINS = "absent: no norm before attention or before an MLP has gains"


def gain_outliers(gain: xr.DataArray) -> xr.DataArray:
    """Which gains (layer, channel) are outliers of their layer, large or small.

    Outliers of log10 |gain| by their modified z-score, (x - median) / (1.4826 MAD), beyond
    `OUTLIER_SCORE` either way; on a log scale, since a gain turned down to a tenth is as far off as one
    turned up tenfold. Where more than half of the gains are equal, whatever is not is an outlier.
    """
    size = _log_size(gain.transpose(LAYER, CHANNEL))
    spread = stats.median_abs_deviation(size.values, axis=1, scale="normal")
    return abs(size - size.median(CHANNEL)) > OUTLIER_SCORE * xr.DataArray(spread, dims=LAYER)


def describe(
    weights: xr.Dataset, channels: xr.Dataset, *, shuffles: int, resamples: int, interval: float, seed: int
) -> xr.Dataset:
    """Gains of every layer's norms, their outliers, and how they go with the position embedding.

    Parameters
    ----------
    weights : Dataset
        ``norm1_gain``, ``norm2_gain`` (layer, channel), if there are these norms and they have gains.
    channels : Dataset
        As `strata.embedding.channels.describe` returns it.
    shuffles : int
        Of the outliers among each layer's channels: how often would some channel be one so often?
    resamples, interval, seed
        Of the bootstrap over channels; ``interval`` is a coverage, e.g. 0.95.

    Returns
    -------
    Dataset
        Exact, by (norm, layer, channel): ``log_gain``, log10 |gain|, and ``outlier`` (`gain_outliers`).
        By (channel): ``outlier_layers``, how many of the norms hold it for one; ``recurrence_p``, how often
        it is one in as many, where each layer's outliers are shuffled among channels, and
        ``recurrence_p_adjusted``, how often some channel is.

        With a position embedding, by (norm, layer): ``rho`` with interval, ``rho_p`` and ``rho_p_adjusted``,
        rank correlation over channels of ``log_gain`` with the standard deviation over positions; ``ratio``
        with interval, median |gain| of the upper group of channels over the lower one's: below 1 a norm dials
        the channels of position down. ``norm`` has those there are. Without gains the result is
        empty; attributes say what is absent.
    """
    made = {"resamples": resamples, "interval": interval, "seed": seed}
    present = [name for name in NORMS if name in weights]
    if not present:
        return xr.Dataset(attrs={"gains": NO_GAINS, **made})
    gains = xr.concat([weights[name].astype(float) for name in present], dim=NORM, join="exact")
    gains = gains.assign_coords({NORM: present}).transpose(NORM, LAYER, CHANNEL)
    outlier = xr.concat([gain_outliers(gain) for gain in gains], dim=NORM, join="exact")
    result = xr.Dataset({"log_gain": _log_size(gains), "outlier": outlier})
    result["outlier_layers"] = outlier.sum((NORM, LAYER))
    alone, of_all = recurrence(outlier.values, shuffles, seed)
    told = {"family": f"recurrence_p: {gains.sizes[CHANNEL]} ({MAXIMUM})"}
    result["recurrence_p"], result["recurrence_p_adjusted"] = (CHANNEL, alone), (CHANNEL, of_all, told)
    result = result.assign_coords({LAYER: np.arange(gains.sizes[LAYER])}).assign_attrs(
        gains="present", shuffles=shuffles, **made
    )
    if "position_std" not in channels:
        return result.assign_attrs(position_embedding=NO_POSITIONS)

    bootstrap = Bootstrap(resamples, interval, seed)
    std, upper = channels["position_std"].values, channels["upper"].values.astype(bool)
    size = abs(gains.values)
    parts = [
        result,
        with_adjusted(rank_correlation("rho", size, std, bootstrap, dims=(NORM, LAYER)), "rho_p"),
        bootstrap.estimate(
            "ratio", _ratio_of_medians, size[..., upper], size[..., ~upper], dims=(NORM, LAYER)
        ),
    ]
    return xr.merge(parts, join="exact").assign_attrs(
        position_embedding="present", split=channels.attrs["split"]
    )


def recurrence(outlier: np.ndarray, shuffles: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How likely each channel is an outlier in as many layers as it is by chance, and some channel is.

    Chance shuffles every layer's outliers among the channels. For some channel the one with the most counts,
    which corrects for how many they are (the single-step procedure of Westfall and Young 1993). Both are
    one-sided, and 1 for a channel that is none.

    Parameters
    ----------
    outlier : bool array (..., channel)

    Returns
    -------
    arrays (channel)
    """
    rng = generator(seed)
    rows = outlier.reshape(-1, outlier.shape[-1])
    counts = np.stack([permuted(rng, rows, 1).sum((0, 1)) for _ in range(shuffles)])
    found = rows.sum(0)
    return p_value(counts >= found), p_value(counts.max(1, keepdims=True) >= found)


def outlier_table(gains: xr.Dataset, channels: xr.Dataset) -> pd.DataFrame:
    """Channels that are an outlier in some layer, in the order of how many.

    Columns: ``rank``, ``channel``, ``outlier_layers`` and the same for each norm, ``p`` and ``p_adjusted`` of
    `recurrence` with their ``family``,
    ``median_log_gain_…`` of each norm over layers, less the median channel's of the layer, ``position_std``
    and ``position_active`` (empty without a position embedding). Ties: the channel that lies further off.
    """
    columns = ["rank", "channel", "outlier_layers"]
    if "outlier" not in gains:
        return pd.DataFrame(columns=columns)
    offset = (gains["log_gain"] - gains["log_gain"].median(CHANNEL)).median(LAYER)
    position_std, active = np.nan, None
    if "upper" in channels:
        position_std = channels["position_std"].values
        active = channels["upper"].values & bool(channels.attrs["two_groups"])
    table = pd.DataFrame(
        {
            "channel": range(gains.sizes[CHANNEL]),
            "outlier_layers": gains["outlier_layers"].values,
            **{
                f"outlier_layers_{n}": gains["outlier"].sel({NORM: n}).sum(LAYER).values
                for n in gains[NORM].values
            },
            "p": gains["recurrence_p"].values,
            "p_adjusted": gains["recurrence_p_adjusted"].values,
            "family": gains["recurrence_p_adjusted"].attrs["family"],
            **{f"median_log_gain_{n}": offset.sel({NORM: n}).values for n in gains[NORM].values},
            "position_std": position_std,
            "position_active": active,
            "furthest": abs(offset).max(NORM).values,
        }
    )
    table = table[table["outlier_layers"] > 0].sort_values(
        ["outlier_layers", "furthest"], ascending=False, kind="stable"
    )
    table.insert(0, "rank", range(1, len(table) + 1))
    return table.drop(columns="furthest")


def _log_size(gain: xr.DataArray) -> xr.DataArray:
    with np.errstate(divide="ignore"):
        return np.log10(abs(gain.astype(float)))


def _ratio_of_medians(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
    return np.median(one, axis=axis) / np.median(other, axis=axis)
