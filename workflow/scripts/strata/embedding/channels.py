"""Channels of the embedding and position matrices: where they lie, how far they spread, what they carry."""

import warnings
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import stats
from sklearn.mixture import GaussianMixture

from strata.bootstrap import Bootstrap, named
from strata.names import CHANNEL, MEASURE, POSITION, VOCAB

ASHMANS_D = 2.0
"""Separation above which two normal distributions are two clusters (Ashman, Bird and Zepf 1994)."""

VALLEY = 0.5
"""Density between two clusters, as a share of the lesser one's peak, below which they are two. Of a plateau
two normal distributions make halves that lie apart, but no valley."""

TOKEN_STD, TOKEN_MEAN, POSITION_MEAN = RIVALS = ("token_std", "token_mean", "position_mean")
"""What the spread over positions is held against: a standard deviation, and the size |mean| of two means."""

NO_POSITIONS = "absent: the model has no such matrix"


# Two groups ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """Channels by how far the position embedding moves them.

    ``upper`` (channel): those above ``boundary``, a log10 standard deviation. ``two_groups``: whether it
    separates two clusters; if not, it is the median. ``ashmans_d``, ``bic_gain`` (BIC of one normal
    distribution less that of two) and ``valley`` (see `VALLEY`; 1 or more: none) are of the mixture of
    two either way; ``told`` is the outcome in words.
    """

    upper: np.ndarray
    two_groups: bool
    boundary: float
    ashmans_d: float
    bic_gain: float
    valley: float
    told: str


def split(position_std: np.ndarray) -> Split:
    """Split channels in two by their standard deviation over positions (channel).

    Two normal distributions are fitted to its log10. They are two groups if they fit better than one
    (BIC), lie apart (Ashman's D above `ASHMANS_D`), and between their centres the density sinks below
    `VALLEY`: where it is lowest is the boundary. Else there are no two groups, and channels are parted into
    halves at the median.
    """
    size = _log10(position_std)[:, None]
    one, two = (GaussianMixture(n, n_init=5, random_state=0).fit(size) for n in (1, 2))
    distance, bic_gain = ashmans_d(two), one.bic(size) - two.bic(size)
    between = np.linspace(two.means_.min(), two.means_.max(), 1001)
    density = np.exp(two.score_samples(between[:, None]))
    valley = density.min() / min(density[0], density[-1])
    found = bic_gain > 0 and distance > ASHMANS_D and valley < VALLEY
    boundary = float(between[density.argmin()] if found else np.median(size))
    told = (
        f"two groups of channels in the position embedding (Ashman's D {distance:.1f})"
        if found
        else "no two groups of channels in the position embedding"
    )
    return Split(
        upper=size[:, 0] > boundary,
        two_groups=bool(found),
        boundary=boundary,
        ashmans_d=distance,
        bic_gain=float(bic_gain),
        valley=float(valley),
        told=told,
    )


def position_active(position_embedding: xr.DataArray) -> tuple[np.ndarray, str]:
    """Which channels the position embedding moves, and in words how that was decided.

    Parameters
    ----------
    position_embedding : DataArray (position, channel)

    Returns
    -------
    active : bool array (channel)
        The upper of the two groups that `split` finds; none where there are no two.
    told : str
    """
    found = split(position_embedding.astype(float).std(POSITION).values)
    return found.upper & found.two_groups, found.told


def ashmans_d(mixture: GaussianMixture) -> float:
    """Distance of two normal distributions' centres, in root mean squares of their widths."""
    return float(np.ptp(mixture.means_) * np.sqrt(2 / mixture.covariances_.sum()))


def _log10(std: np.ndarray) -> np.ndarray:
    return np.log10(np.maximum(std, np.finfo(float).tiny))


def _distance_refitted(size: np.ndarray, bootstrap: Bootstrap) -> xr.Dataset:
    """Ashman's D of ``size`` (channel), with its interval: the mixture is fitted to every resample anew."""
    start = GaussianMixture(2, n_init=5, random_state=0).fit(size[:, None])
    known = {"means_init": start.means_, "weights_init": start.weights_}
    mixture = GaussianMixture(2, **known, precisions_init=start.precisions_)

    def distance(drawn: np.ndarray) -> float:
        return ashmans_d(mixture.fit(drawn[:, None]))

    return bootstrap.estimate("ashmans_d", lambda x, axis: np.apply_along_axis(distance, axis, x), size)


# Moments and their rivalry ------------------------------------------------------------------


def describe(
    token_embedding: xr.DataArray,
    position_embedding: xr.DataArray | None = None,
    counts: np.ndarray | None = None,
    *,
    resamples: int,
    interval: float,
    seed: int,
) -> xr.Dataset:
    """Moments of every channel, its stripes, its group, and whether positions and tokens avoid each other.

    Parameters
    ----------
    token_embedding : DataArray (vocab, channel)
    position_embedding : DataArray (position, channel) or None
        None where the model has none.
    counts : int array (vocab), optional
        How often each token occurs in training, where that is known. Tokens that never do are left out:
        training moves them all alike, far off, and no channel's spread over them is a token's doing.
    resamples, interval, seed
        Of the bootstrap over channels; ``interval`` is a coverage, e.g. 0.95.

    Returns
    -------
    Dataset
        ``used`` (vocab): which tokens were taken; the attribute ``tokens`` says so in words.
        Exact, in embedding units: ``token_mean``, ``token_std`` (channel), over those tokens. Exact:
        ``share_of_channels`` and ``share_of_tokens``, of the matrix's variance, what lies between the
        means of channels (its stripes) and of tokens; ``…_expected`` where all entries are independent.

        With a position embedding, exact: ``position_mean``, ``position_std``, ``upper`` (channel; see
        `split`); ``boundary`` (a log10 standard deviation), ``bic_gain``, ``valley``, and ``ashmans_d`` with
        its interval.
        The rivalry, by (measure), see `RIVALS`: ``rho`` with interval and ``rho_p``, Spearman's, with
        ``position_std`` over channels; and, where there are two groups, ``auc`` with interval and
        ``auc_p``, the chance that an active channel's is the larger (Mann and Whitney 1947), NaN
        elsewhere. Attributes ``position_embedding``, ``split`` in words, and ``two_groups`` (0 or 1).
    """
    n_tokens = token_embedding.sizes[VOCAB]
    used = np.ones(n_tokens, bool) if counts is None else np.asarray(counts) > 0
    told = f"all {n_tokens:,} tokens" if used.all() else f"{used.sum():,} tokens that occur in training"
    mean, std, shares = moments(token_embedding, VOCAB, used)
    result = xr.Dataset({"token_mean": mean, "token_std": std, **shares, "used": (VOCAB, used)})
    made = {"resamples": resamples, "interval": interval, "seed": seed, "tokens": told}
    if position_embedding is None:
        return result.assign_attrs(position_embedding=NO_POSITIONS, **made)

    bootstrap = Bootstrap(resamples, interval, seed)
    mean, std, _ = moments(position_embedding, POSITION)
    groups = split(std.values)
    result = result.assign(
        position_mean=mean,
        position_std=std,
        upper=(CHANNEL, groups.upper),
        boundary=groups.boundary,
        bic_gain=groups.bic_gain,
        valley=groups.valley,
    )
    rivals = [
        _rivalry(std.values, abs(result[name]).values, groups.upper if groups.two_groups else None, bootstrap)
        for name in RIVALS
    ]
    parts = [
        result,
        _distance_refitted(_log10(std.values), bootstrap),
        xr.concat(rivals, dim=named(MEASURE, RIVALS), join="exact"),
    ]
    return xr.merge(parts, join="exact").assign_attrs(
        position_embedding="present", split=groups.told, two_groups=int(groups.two_groups), **made
    )


def moments(
    matrix: xr.DataArray, rows: str, used: np.ndarray | None = None, tile: int = 8192
) -> tuple[xr.DataArray, xr.DataArray, dict[str, float]]:
    """Mean and standard deviation (channel) over rows, and how much of the variance means account for.

    Of all rows, or of those that are ``used``, a bool array.
    Exact, in float64, ``tile`` rows at a time: the matrix may be larger than memory.

    Raises
    ------
    ValueError
        If dims are others than ``rows`` and channel, or an entry is not finite.
    """
    if set(matrix.dims) != {rows, CHANNEL}:
        raise ValueError(f"a matrix of dims {(rows, CHANNEL)} is needed, not {matrix.dims}")
    matrix = matrix.transpose(rows, CHANNEL)
    used = np.ones(len(matrix), bool) if used is None else used
    n, width = int(used.sum()), matrix.sizes[CHANNEL]

    def tiles():
        for start in range(0, len(matrix), tile):
            piece = slice(start, start + tile)
            yield matrix[piece].values[used[piece]].astype(float)

    mean = sum(part.sum(0) for part in tiles()) / n
    if not np.isfinite(mean).all():
        raise ValueError(f"the matrix over {rows} holds NaN or infinite entries")
    of_rows = np.concatenate([part.mean(1) for part in tiles()])
    variance = sum(((part - mean) ** 2).sum(0) for part in tiles()) / n
    total = float(variance.mean() + mean.var())
    shares = {
        "share_of_channels": float(mean.var()) / total,
        "share_of_tokens": float(of_rows.var()) / total,
        "share_of_channels_expected": (width - 1) / (n * width - 1),
        "share_of_tokens_expected": (n - 1) / (n * width - 1),
    }
    return xr.DataArray(mean, dims=CHANNEL), xr.DataArray(np.sqrt(variance), dims=CHANNEL), shares


def _rivalry(
    position_std: np.ndarray, rival: np.ndarray, active: np.ndarray | None, bootstrap: Bootstrap
) -> xr.Dataset:
    found = rank_correlation("rho", position_std, rival, bootstrap)
    sides = (rival[active], rival[~active]) if active is not None else (np.empty(0), np.empty(0))
    p = stats.mannwhitneyu(*sides).pvalue if active is not None else np.nan
    return found.merge(bootstrap.estimate("auc", _auc, *sides)).assign(auc_p=p)


def rank_correlation(
    name: str, x: np.ndarray, y: np.ndarray, bootstrap: Bootstrap, dims: tuple[str, ...] = ()
) -> xr.Dataset:
    """Spearman's rank correlation over units (..., unit) with its interval, p (``name_p``) and their number.

    ``dims`` are those before the units. NaN where all of ``x`` or of ``y`` is the same.
    """
    pairs = np.stack(np.broadcast_arrays(x, y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        found = bootstrap.estimate(name, _rho, pairs, dims=dims)
        return found.assign({f"{name}_p": (dims, stats.spearmanrho(*pairs, axis=-1).pvalue)})


def _rho(pairs: np.ndarray, axis: int) -> np.ndarray:
    return stats.spearmanrho(*pairs, axis=axis).statistic


def _auc(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
    found = stats.mannwhitneyu(one, other, axis=axis, method="asymptotic").statistic
    return found / (one.shape[axis] * other.shape[axis])


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
