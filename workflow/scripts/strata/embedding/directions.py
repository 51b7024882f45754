"""What the singular directions of the token embedding have to do with positions, and with lengths."""

import numpy as np
import xarray as xr
from scipy import stats

from strata.embedding.component_properties import spearman_interval
from strata.embedding.orthogonality import share_of_random
from strata.names import CHANNEL, COMPONENT, POSITION, VOCAB
from strata.stats.many_tests import HOLM, with_adjusted
from strata.stats.permutation import p_value
from strata.stats.ranks import columnwise_rank_correlation
from strata.stats.seeding import generator

LONGEST, LEAST = 0.01, 20
"""Share of tokens that are called long, and how many at least."""


def overlap_with_positions(
    directions: np.ndarray, position_embedding: xr.DataArray, *, draws: int, interval: float, seed: int
) -> xr.Dataset:
    """How much of the position embedding lies along directions, against directions taken at random.

    Parameters
    ----------
    directions : (component, channel), of length 1
    position_embedding : DataArray (position, channel)
    draws : of random directions

    Returns
    -------
    Dataset
        ``position_variance_share`` (component), of the sum of variances over positions, and
        ``position_mean_share`` (component), of the squared length of the mean over positions: each with
        ``_p``, how rarely a random direction has as much (one-sided), ``_p_adjusted`` by Holm's correction
        for all of both, and ``_random``, what all but 1 - interval of random directions stay below. Of the
        mean these are exact.
    """
    matrix = position_embedding.transpose(POSITION, CHANNEL).values.astype(float)
    mean, d = matrix.mean(0), matrix.shape[1]
    spread = np.linalg.svd(matrix - mean, compute_uv=False) ** 2
    variance_share = (((matrix - mean) @ directions.T) ** 2).sum(0) / spread.sum()
    mean_share = (directions @ mean) ** 2 / (mean @ mean)
    # A random direction is as random in the principal axes; it may leave those that there are.
    random = generator(seed).standard_normal((draws, d)) ** 2
    random = random[:, : len(spread)] @ spread / random.sum(1) / spread.sum()
    names = ("position_variance_share", "position_mean_share")
    told = xr.Dataset(
        {
            "position_variance_share": (COMPONENT, variance_share),
            "position_variance_share_p": (COMPONENT, p_value(random[:, None] >= variance_share)),
            "position_variance_share_random": np.quantile(random, interval),
            "position_mean_share": (COMPONENT, mean_share),
            "position_mean_share_p": (COMPONENT, share_of_random(np.sqrt(mean_share), d)),
            "position_mean_share_random": stats.beta.ppf(interval, 0.5, (d - 1) / 2),
        }
    )
    return with_adjusted(told, *(f"{name}_p" for name in names), method=HOLM)


def along_by_length(token_embedding: xr.DataArray, directions: np.ndarray, *, interval: float) -> xr.Dataset:
    """Do long embeddings lie along a direction more than their length alone would have it?

    A vector's cosine with a direction says which part of its length lies along it, whatever that length is.
    If long vectors are short ones made longer, their cosines are no larger.

    Parameters
    ----------
    token_embedding : DataArray (vocab, channel)
        A row of zeros has no cosine and is left out.
    directions : (component, channel), of length 1

    Returns
    -------
    Dataset
        By component, of cosines without their sign: ``cosine_rho``, Spearman's correlation with the token's
        length, with ``_low`` and ``_high`` (Bonett and Wright 2000) and ``_p`` (Student) and
        ``_p_adjusted`` (Holm);
        ``cosine_typical``, the median; ``cosine_long``, the mean of the longest tokens, `LONGEST` of all,
        with Student's interval. ``n_long``.
    """
    matrix = token_embedding.transpose(VOCAB, CHANNEL).values
    length = np.linalg.norm(matrix, axis=1)
    some = length > 0
    matrix, length = matrix[some], length[some]
    cosine = abs(matrix @ directions.T.astype(matrix.dtype)) / length[:, None]
    n = len(length)
    rho = columnwise_rank_correlation(cosine, length, np.ones(n, bool))
    low, high = spearman_interval(rho, n, interval)
    student = rho * np.sqrt((n - 2) / (1 - rho**2))
    longest = cosine[np.argsort(-length, kind="stable")[: max(LEAST, round(LONGEST * n))]]
    error = longest.std(0, ddof=1) / np.sqrt(len(longest))
    reach = stats.t.isf((1 - interval) / 2, len(longest) - 1) * error
    fields = {
        "cosine_rho": rho,
        "cosine_rho_low": low,
        "cosine_rho_high": high,
        "cosine_rho_p": 2 * stats.t.sf(abs(student), n - 2),
        "cosine_typical": np.median(cosine, 0),
        "cosine_long": longest.mean(0),
        "cosine_long_low": longest.mean(0) - reach,
        "cosine_long_high": longest.mean(0) + reach,
    }
    told = xr.Dataset({name: (COMPONENT, values) for name, values in fields.items()})
    return with_adjusted(told, "cosine_rho_p", method=HOLM).assign(n_long=len(longest))
