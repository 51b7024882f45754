"""Channels of the embedding and position matrices: where they lie, how far they spread, what they carry."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import stats

from strata.embedding import NO_POSITIONS
from strata.embedding.names import RIVALS
from strata.names import CHANNEL, MEASURE, POSITION, VOCAB
from strata.stats.bootstrap import Bootstrap
from strata.stats.groups import named, with_ends
from strata.stats.many_tests import with_adjusted
from strata.stats.ranks import concordance, rank_correlation
from strata.stats.two_groups import Groups, ashmans_d, interval_of_distance, two_groups

# Two groups ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """Channels by how far the position embedding moves them.

    ``upper`` (channel): those above ``boundary``, a log10 standard deviation. It separates the two
    ``groups`` if they are two; if not, it is the median. ``told`` is the outcome in words.
    """

    upper: np.ndarray
    boundary: float
    groups: Groups
    told: str


def split(position_std: np.ndarray) -> Split:
    """Split channels in two by their standard deviation over positions (channel).

    Its log10 falls into two groups by the rule of `strata.stats.two_groups`: where the density between
    them is lowest is the boundary. Else there are no two groups, and channels are divided into halves at
    the median.
    """
    size = _log10(position_std)
    groups = two_groups(size)
    boundary = groups.boundary if groups.two else float(np.median(size))
    told = "no two groups of channels in the position embedding"
    if groups.two:
        told = f"two groups of channels in the position embedding (Ashman's D {groups.distance:.1f})"
    return Split(size > boundary, boundary, groups, told)


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
    return found.upper & found.groups.two, found.told


def _log10(std: np.ndarray) -> np.ndarray:
    return np.log10(np.maximum(std, np.finfo(float).tiny))


def _distance(size: np.ndarray, bootstrap: Bootstrap) -> xr.Dataset:
    """Ashman's D of ``size`` (channel), with its interval: the mixture is fitted to every resample."""
    return with_ends("ashmans_d", ashmans_d(size), interval_of_distance(size, bootstrap), len(size))


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
        `split`); ``boundary`` (a log10 standard deviation), ``bic_gain``, ``one_mode_p``, and
        ``ashmans_d`` with its interval.
        The rivalry, by (measure), see `RIVALS`: ``rho`` with interval and ``rho_p``, Spearman's, with
        ``position_std`` over channels; and, where there are two groups, ``auc`` with interval and
        ``auc_p``, the chance that an active channel's is the larger (Mann and Whitney 1947), NaN
        elsewhere; ``rho_p_adjusted`` and ``auc_p_adjusted`` for all measures. Attributes
        ``position_embedding``, ``split`` in words, and ``two_groups`` (0 or 1).
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
    parted = split(std.values)
    result = result.assign(
        position_mean=mean,
        position_std=std,
        upper=(CHANNEL, parted.upper),
        boundary=parted.boundary,
        bic_gain=parted.groups.bic_gain,
        one_mode_p=parted.groups.one_mode_p,
    )
    upper = parted.upper if parted.groups.two else None
    rivals = [_rivalry(std.values, abs(result[name]).values, upper, bootstrap) for name in RIVALS]
    tested = xr.concat(rivals, dim=named(MEASURE, RIVALS), join="exact")
    parts = [
        result,
        _distance(_log10(std.values), bootstrap),
        with_adjusted(with_adjusted(tested, "rho_p"), "auc_p"),
    ]
    return xr.merge(parts, join="exact").assign_attrs(
        position_embedding="present", split=parted.told, two_groups=int(parted.groups.two), **made
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


def _auc(one: np.ndarray, other: np.ndarray, axis: int) -> np.ndarray:
    return concordance(other, one, axis=axis)
