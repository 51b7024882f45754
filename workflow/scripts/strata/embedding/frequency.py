"""What in the embedding goes with how often a token occurs, from the weights and a table of counts.

Candidate frequency features (an outlying channel, the length of the embedding, the first singular direction,
the token's index) are correlated with each other as well, so every pair is measured, plainly and with others
held fixed. All of it is rank correlation: frequencies spread over decades.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import rankdata

from strata.embedding.gains import gain_outliers
from strata.embedding.names import (
    EVERYTHING,
    FEATURE,
    GIVEN,
    INDEX,
    LENGTH,
    LOG_FREQUENCY,
    MEAN,
    NORMS,
    NOTHING,
    OTHER,
    SEEN,
    SVD_0,
)
from strata.names import ALL, CHANNEL, COMPONENT, LAYER, TOKEN_ID, TOKEN_SET, VOCAB
from strata.stats.defined import percentiles
from strata.stats.draws import units_drawn
from strata.stats.groups import named
from strata.stats.ranks import columnwise_rank_correlation
from strata.stats.seeding import generator
from strata.text.documents import count_by_row

TOKEN_SETS = (SEEN, ALL)
"""Tokens that were counted at least once, and all. What was never seen was never an input: its embedding
is what training does to outputs that are never right. A rank correlation over all sees two populations."""

LEAST_TOKENS = 20
"""For an interval: of 15, those of partial correlations cover 85 % (benchmarks/bench_coverage.py)."""

LARGEST_CONDITION = 1e10
"""Of a matrix of correlations: above it one feature is but a mixture of the others."""


def analyse(
    weights: xr.Dataset,
    decomposition: xr.Dataset,
    counts: pd.DataFrame,
    *,
    outlier_channels: int,
    resamples: int,
    interval: float,
    seed: int,
) -> xr.Dataset:
    """Everything about frequency.

    Parameters
    ----------
    weights : Dataset
        ``token_embedding`` (vocab, channel), ``norm1_gain``, ``norm2_gain`` (layer, channel), and
        ``token_id``, ``token_str`` (vocab).
    decomposition : Dataset
        As `strata.embedding.svd.decompose` returns it.
    counts : DataFrame
        ``token_id`` and ``count``.
    outlier_channels : see `gain_channels`
    resamples, interval, seed : of the bootstrap over tokens, see `rank_correlations`

    Returns
    -------
    Dataset
        What `features`, `gain_channels`, `rank_correlations` and `outlyingness` return; ``count`` (vocab),
        NaN for rows of the embedding that the table does not have; ``channel_rho`` (token_set, channel),
        the rank correlation of every channel with log frequency, exact for these tokens: what any channel
        does, for comparison with an outlying one. ``n_tokens`` (token_set).

    Raises
    ------
    ValueError
        If no token that the table counts is in the vocabulary.
    """
    count = count_by_row(weights[TOKEN_ID], counts)
    channels = gain_channels(weights, outlier_channels)
    values = features(weights["token_embedding"], decomposition, channels, count)
    known, seen = np.isfinite(count.values), count.values > 0
    sets = {SEEN: seen, ALL: known}
    correlations = [
        rank_correlations(values.isel({VOCAB: chosen}), resamples=resamples, interval=interval, seed=seed)
        for chosen in sets.values()
    ]
    matrix = weights["token_embedding"].transpose(VOCAB, CHANNEL).values
    by_channel = [columnwise_rank_correlation(matrix, count.values, chosen) for chosen in sets.values()]
    correlations = xr.concat(correlations, dim=named(TOKEN_SET, TOKEN_SETS))
    return xr.merge([channels, correlations], join="exact", combine_attrs="no_conflicts").assign(
        {
            "value": values.astype("float32"),
            "outlyingness": outlyingness(values).astype("float32"),
            "count": count,
            "channel_rho": ((TOKEN_SET, CHANNEL), by_channel),
            "n_tokens": (TOKEN_SET, [int(chosen.sum()) for chosen in sets.values()]),
        }
    )


def gain_channels(weights: xr.Dataset, n_outliers: int) -> xr.Dataset:
    """The channels whose gains are outliers most often, and one whose gains never are.

    Outliers are those of `strata.embedding.gains.gain_outliers`, in every layer's norms. The first
    ``n_outliers`` channels by the share of norms in which they are (by their mean distance from the median,
    on a log scale, where several tie) are the outlying ones, if they are an outlier anywhere; the control
    is the channel of the smallest such distance.

    Returns
    -------
    Dataset
        ``outlying_share`` and ``gain_distance`` (channel; decades), ``channel_role`` (channel): "outlier",
        "control" or "". Without gains there are no such channels, and the numbers are NaN.
    """
    own = [weights[name] for name in NORMS if name in weights]
    if not own:
        nothing, n_channels = np.nan, weights.sizes[CHANNEL]
        named = {"outlying_share": nothing, "gain_distance": nothing, "channel_role": ""}
        return xr.Dataset({name: (CHANNEL, [value] * n_channels) for name, value in named.items()})
    gains = xr.concat(own, LAYER).transpose(LAYER, CHANNEL).astype(float)
    with np.errstate(divide="ignore"):
        size = np.log10(abs(gains))
    distance = abs(size - size.median(CHANNEL)).mean(LAYER).values
    share = gain_outliers(gains).mean(LAYER).values
    role = np.full(len(share), "", dtype=object)
    role[distance.argmin()] = "control"
    often = np.lexsort((-distance, -share))[:n_outliers]
    role[often[share[often] > 0]] = "outlier"
    named = {"outlying_share": share, "gain_distance": distance, "channel_role": role}
    return xr.Dataset({name: (CHANNEL, values) for name, values in named.items()})


def features(
    token_embedding: xr.DataArray, decomposition: xr.Dataset, channels: xr.Dataset, count: xr.DataArray
) -> xr.DataArray:
    """What is correlated, one row each: (feature, vocab), log frequency first.

    Log frequency is log10 of the count, and -1 for tokens never seen: ranks ask only that they come last,
    and log10(count + 1) has the same ranks. The mean direction is the projection on the mean embedding, in
    embedding units; SVD 0 the left vector, with the sign that points along the mean. The coordinate
    ``role`` says what a channel is.
    """
    matrix = token_embedding.transpose(VOCAB, CHANNEL).values
    mean = decomposition["mean_embedding"].values
    component = {COMPONENT: 0}
    sign = 1.0 if float(decomposition["cosine_mean"].sel(component)) >= 0 else -1.0
    with np.errstate(divide="ignore"):
        log_count = np.maximum(np.log10(count.values), -1)
    rows = {
        LOG_FREQUENCY: log_count,
        # einsum casts in small buffers: no second matrix in double precision.
        LENGTH: np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=float)),
        SVD_0: sign * decomposition["token_left"].sel(component).values,
        MEAN: np.einsum("ij,j->i", matrix, mean / np.linalg.norm(mean), dtype=float),
        INDEX: count[TOKEN_ID].values if TOKEN_ID in count.coords else np.arange(len(matrix)),
    }
    role = dict.fromkeys(rows, "")
    share = channels["outlying_share"].values
    for kind in ("outlier", "control"):
        members = np.flatnonzero(channels["channel_role"].values == kind)
        for channel in members[np.argsort(-share[members], kind="stable")]:
            rows[f"channel {channel}"], role[f"channel {channel}"] = matrix[:, channel], kind
    return xr.DataArray(
        np.array(list(rows.values()), dtype=float),
        dims=(FEATURE, VOCAB),
        coords={FEATURE: list(rows), "role": (FEATURE, list(role.values()))},
    ).assign_coords({name: coord for name, coord in token_embedding.coords.items() if coord.dims == (VOCAB,)})


# Correlations -------------------------------------------------------------------------------


def rank_correlations(values: xr.DataArray, *, resamples: int, interval: float, seed: int) -> xr.Dataset:
    """Spearman's rank correlation of every pair of features, plainly and given others.

    The partial correlation of x and y given z is that of what is left of their ranks after regression on
    those of z. Intervals are percentiles of a bootstrap over tokens, ranked again in every resample: the
    vocabulary is all there is, and they say how far its correlations depend on which tokens it has.

    Parameters
    ----------
    values : DataArray (feature, vocab), finite
    resamples, interval, seed
        Of the bootstrap; ``interval`` is a coverage, e.g. 0.95.

    Returns
    -------
    Dataset
        ``rho``, ``rho_low``, ``rho_high`` (feature, other, given), given "nothing", each of the features,
        or "all others". NaN where x, y and z are not three different features, where a feature is constant,
        where two are the same but for rounding, and given all others where one is but a mixture of the
        rest. ``unique_share`` (feature): the share of the variance of a feature's ranks that no linear
        mixture of the others' ranks has, log frequency not among them; exact, for these tokens.
    """
    names = values[FEATURE].values
    items = values.transpose(FEATURE, VOCAB).values
    exact = _with_partial(np.stack([_correlation(items)]))[0]
    drawn = _with_partial(np.stack(list(_resampled(items, resamples, seed))))
    low, high = percentiles(drawn, interval, axis=0, lost=0)
    if items.shape[1] < LEAST_TOKENS:
        low, high = np.full_like(exact, np.nan), np.full_like(exact, np.nan)
    candidates = names != LOG_FREQUENCY
    plain = exact[..., 0][np.ix_(candidates, candidates)]
    unique = np.full(len(names), np.nan)
    unique[candidates] = 1 / np.diagonal(_inverse(plain[None])[0])
    dims = (FEATURE, OTHER, GIVEN)
    return xr.Dataset(
        {
            "rho": (dims, exact),
            "rho_low": (dims, low),
            "rho_high": (dims, high),
            "unique_share": (FEATURE, unique),
        },
        coords={
            FEATURE: names,
            OTHER: names,
            GIVEN: [NOTHING, *names, EVERYTHING],
            "role": values["role"] if "role" in values.coords else (FEATURE, [""] * len(names)),
        },
        attrs={"resamples": resamples, "interval": interval, "seed": seed},
    )


def _correlation(items: np.ndarray) -> np.ndarray:
    if items.shape[1] < 3:
        return np.full((len(items), len(items)), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(rankdata(items, axis=1))


def _resampled(items: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Rank correlations (feature, feature) of one resample after the other, equal values sharing a rank.

    Sorted once: a resample only says how many times each token is drawn, and so how far up it moves others.
    """
    rng = generator(seed)
    n = items.shape[1]
    codes = [np.unique(row, return_inverse=True)[1] for row in items]
    for _ in range(resamples):
        times = np.bincount(units_drawn(rng, n), minlength=n).astype(float)
        ranks = np.empty_like(items)
        for row, code in zip(ranks, codes, strict=True):
            equal = np.bincount(code, times)
            row[:] = (equal.cumsum() - equal / 2)[code]  # of the mean rank, less a half
        ranks -= n / 2
        products = (ranks * times) @ ranks.T
        size = np.sqrt(np.diagonal(products))
        with np.errstate(invalid="ignore", divide="ignore"):
            yield products / np.outer(size, size)


def _with_partial(plain: np.ndarray) -> np.ndarray:
    """From correlations (resample, x, y) to (resample, x, y, given): nothing, each z, all others."""
    n = plain.shape[-1]
    same = np.eye(n, dtype=bool)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt(1 - plain**2)
        left = np.where(left > 1 / np.sqrt(LARGEST_CONDITION), left, np.nan)
        by_each = (plain[..., None] - plain[:, :, None, :] * plain[:, None, :, :]) / (
            left[:, :, None, :] * left[:, None, :, :]
        )
    by_each[:, same[:, :, None] | same[:, None, :] | same[None]] = np.nan
    inverse = _inverse(plain)
    size = np.sqrt(np.diagonal(inverse, axis1=1, axis2=2))
    by_all = -inverse / (size[:, :, None] * size[:, None, :])
    by_all[:, same] = np.nan
    return np.concatenate([plain[..., None], by_each, by_all[..., None]], axis=-1)


def _inverse(plain: np.ndarray) -> np.ndarray:
    """Inverses of matrices of correlations, NaN where there is none."""
    finite = np.isfinite(plain).all((1, 2))
    safe = np.where(finite[:, None, None], plain, np.eye(plain.shape[-1]))
    regular = finite & (np.linalg.cond(safe) < LARGEST_CONDITION)
    inverse = np.full_like(plain, np.nan)
    inverse[regular] = np.linalg.inv(plain[regular])
    return inverse


# Tokens that stand out ----------------------------------------------------------------------


def outlyingness(values: xr.DataArray, bins: int = 20) -> xr.DataArray:
    """How far each token's features lie from those of tokens as frequent: (feature, vocab).

    The modified z-score, (x - median) / (1.4826 MAD), among tokens of the same bin: ``bins`` of equally
    many tokens that were seen, ordered by frequency, and one of the never seen. 0 where most of a bin are
    equal; NaN where the count is not known.
    """
    log_count = values.sel({FEATURE: LOG_FREQUENCY}).values
    seen = log_count >= 0
    bin_of = np.where(np.isnan(log_count), np.nan, -1.0)
    if seen.any():
        bin_of[seen] = pd.qcut(log_count[seen], bins, labels=False, duplicates="drop")
    frame = pd.DataFrame(values.transpose(VOCAB, FEATURE).values)
    difference = frame - frame.groupby(bin_of).transform("median")
    spread = 1.4826 * difference.abs().groupby(bin_of).transform("median")
    score = (difference / spread.where(spread > 0)).fillna(0).to_numpy().T
    return values.copy(data=np.where(np.isfinite(bin_of), score, np.nan))


def table(result: xr.Dataset) -> pd.DataFrame:
    """Every correlation that is defined, a row each, with its interval and the number of tokens."""
    n = dict(zip(result[TOKEN_SET].values, result["n_tokens"].values, strict=True))
    frame = result[["rho", "rho_low", "rho_high"]].drop_vars("role").to_dataframe().reset_index()
    order = {name: i for i, name in enumerate(result[FEATURE].values)}
    frame = frame[frame[FEATURE].map(order) < frame[OTHER].map(order)].dropna(subset="rho")
    frame["n"] = frame[TOKEN_SET].map(n)
    columns = {
        TOKEN_SET: "tokens",
        FEATURE: "x",
        OTHER: "y",
        GIVEN: "given",
        "rho": "rho",
        "rho_low": "low",
        "rho_high": "high",
        "n": "n",
    }
    return frame[list(columns)].rename(columns=columns).reset_index(drop=True)
