"""How near to orthogonal embeddings are, against random vectors.

In d dimensions two random directions have a cosine of variance 1 / d, so that far more than d of them fit
at right angles but for a little: a model may keep more features than it has channels. Whether its
embeddings make use of that is asked of the cosines of all pairs.
"""

import numpy as np
import xarray as xr
from scipy.stats import beta, norm

from strata.embedding.names import BIN, CENTRED, RAW, THRESHOLD, VECTORS
from strata.names import CHANNEL, VOCAB
from strata.stats.seeding import generator

KINDS = (RAW, CENTRED, "random")
"""Embeddings about the origin, about their mean, and as many random vectors of the same dimension."""

THRESHOLDS = (0.1, 0.2, 0.3, 0.5)
BIN_EDGES = np.linspace(-1, 1, 401)


def cosines(
    token_embedding: xr.DataArray, *, sample: int, interval: float, seed: int, tile: int = 4096
) -> xr.Dataset:
    """Cosines between all pairs of token embeddings.

    Parameters
    ----------
    token_embedding : DataArray (vocab, channel)
        A row of zeros has no direction and is left out.
    sample : int
        Tokens, drawn evenly, whose pairs are looked at one by one.
    interval : float
        Coverage of the intervals.

    Returns
    -------
    Dataset
        By (vectors), see `KINDS`: ``mean_cosine`` and ``rms_cosine`` of all pairs of all tokens, exact;
        ``effective_dimension``, 1 / rms², the dimension in which random vectors are as near to each other,
        and ``participation_ratio``, (sum of variances)² / sum of squared variances along the principal
        axes, about the origin or the mean. For the pairs of the sample: ``density`` (vectors, bin) at bin
        centres, ``largest`` |cosine|, ``share_above`` (vectors, threshold) of |cosine|, with ``_low`` and
        ``_high``: normal, from the spread of single tokens' shares (a U-statistic's), none where the sample
        is the vocabulary. What random vectors of that dimension are expected to do: ``expected_rms``,
        ``expected_largest`` (the median), ``expected_share`` (threshold), exact.

    Raises
    ------
    ValueError
        If fewer than three tokens have a direction.
    """
    matrix = token_embedding.transpose(VOCAB, CHANNEL).values
    length = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=float))
    rows = np.flatnonzero(length > 0)
    if len(rows) < 3:
        raise ValueError(f"{len(rows)} tokens have an embedding that is not zero; three are needed")
    rng = generator(seed)
    n, d = len(rows), matrix.shape[1]
    chosen = rng.choice(rows, size=min(sample, n), replace=False)
    mean = matrix.mean(0, dtype=float, where=length[:, None] > 0)
    zero = np.zeros(d)
    random = rng.standard_normal((len(chosen), d))
    measured = [
        _exact(matrix, rows, zero, tile) | _sampled(matrix[chosen] - zero, n, interval),
        _exact(matrix, rows, mean, tile) | _sampled(matrix[chosen] - mean, n, interval),
        _exact(random, np.arange(len(random)), zero, tile) | _sampled(random, len(random), interval),
    ]
    dims = {"density": (VECTORS, BIN)} | dict.fromkeys(
        ("share_above", "share_above_low", "share_above_high"), (VECTORS, THRESHOLD)
    )
    fields = {name: (dims.get(name, (VECTORS,)), [each[name] for each in measured]) for name in measured[0]}
    return xr.Dataset(
        fields
        | {
            "expected_rms": 1 / np.sqrt(d),
            "expected_largest": largest_of_random(len(chosen), d),
            "expected_share": (THRESHOLD, share_of_random(np.array(THRESHOLDS), d)),
            "n_sampled": len(chosen),
            "n_vectors": n,
        },
        coords={
            VECTORS: list(KINDS),
            THRESHOLD: list(THRESHOLDS),
            BIN: (BIN_EDGES[1:] + BIN_EDGES[:-1]) / 2,
        },
    )


def share_of_random(threshold: np.ndarray, d: int) -> np.ndarray:
    """Chance that two random directions in d dimensions have a |cosine| above the threshold.

    The squared cosine has a beta distribution of parameters 1/2 and (d - 1) / 2.
    """
    return beta.sf(np.square(threshold), 0.5, (d - 1) / 2)


def largest_of_random(n: int, d: int) -> float:
    """Median of the largest |cosine| among n random directions in d dimensions.

    As if pairs were independent; pairs that share no vector or one are.
    """
    pairs = n * (n - 1) / 2
    # Chance that one pair stays below: 0.5 ** (1 / pairs), written so as to keep its digits.
    return float(np.sqrt(beta.isf(-np.expm1(np.log(0.5) / pairs), 0.5, (d - 1) / 2)))


def between(directions: np.ndarray) -> tuple[np.ndarray, float]:
    """Cosines (component, component) of directions (component, channel), and the largest |cosine| of two."""
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    cosine = unit @ unit.T
    off = abs(cosine[~np.eye(len(cosine), dtype=bool)])
    return cosine, float(off.max()) if off.size else np.nan


def _exact(matrix: np.ndarray, rows: np.ndarray, origin: np.ndarray, tile: int) -> dict[str, float]:
    """Moments of all pairs' cosines, from sums over tiles of rows: no pair is looked at."""
    d = matrix.shape[1]
    total, outer, scatter = np.zeros(d), np.zeros((d, d)), np.zeros((d, d))
    n = 0
    for start in range(0, len(rows), tile):
        part = matrix[rows[start : start + tile]] - origin
        scatter += part.T @ part
        unit = _unit(part)
        n += len(unit)
        total += unit.sum(0)
        outer += unit.T @ unit
    pairs = n * (n - 1)
    square = ((outer**2).sum() - n) / pairs
    return {
        "mean_cosine": float((total @ total - n) / pairs),
        "rms_cosine": float(np.sqrt(square)),
        "effective_dimension": float(1 / square),
        "participation_ratio": float(np.trace(scatter) ** 2 / (scatter**2).sum()),
    }


def _sampled(vectors: np.ndarray, n_all: int, interval: float, tile: int = 512) -> dict[str, object]:
    unit = _unit(np.asarray(vectors, float))
    n = len(unit)
    counts = np.zeros(len(BIN_EDGES) - 1)
    above = np.zeros((n, len(THRESHOLDS)))
    largest = 0.0
    for start in range(0, n, tile):
        cosine = unit[start : start + tile] @ unit.T
        own = np.arange(len(cosine))
        cosine[own, start + own] = np.nan
        size = abs(cosine)
        largest = max(largest, float(np.nanmax(size)))
        above[start : start + tile] = [(row[:, None] > THRESHOLDS).sum(0) for row in size]
        counts += np.histogram(np.clip(cosine[np.isfinite(cosine)], -1, 1), BIN_EDGES)[0]
    by_token = above / (n - 1)
    share = by_token.mean(0)
    # Two tokens make a pair; the share of the vocabulary that is in the sample is no chance.
    error = 2 * by_token.std(0, ddof=1) / np.sqrt(n) * np.sqrt(1 - n / n_all)
    reach = norm.isf((1 - interval) / 2) * error
    return {
        "density": counts / counts.sum() / np.diff(BIN_EDGES),
        "largest": largest,
        "share_above": share,
        "share_above_low": np.maximum(share - reach, 0),
        "share_above_high": np.minimum(share + reach, 1),
    }


def _unit(rows: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(length > 0, length, 1))[length[:, 0] > 0]
