"""Clusters of tokens in the plane of one outlying channel and the embedding's norm.

A vector that training hardly ever moved stays with others of its kind. To call a place dense, it is compared
with random matrices of the same size whose channels have the same means and standard deviations: their
norms and their channel spread over a plane too, and somewhere in it tokens are closest.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.spatial import cKDTree
from scipy.stats import rankdata
from sklearn.cluster import DBSCAN
from sklearn.preprocessing import robust_scale

from strata.embedding.frequency import gain_channels
from strata.embedding.tiles import measure
from strata.names import CHANNEL, TOKEN_ID, TOKEN_STR, VOCAB
from strata.stats.bootstrap import Bootstrap
from strata.stats.seeding import generator
from strata.text.documents import count_by_row

CELLS = 8  # to a radius: the tokens of one cell of the plane count as one place
FEW = 50  # one place in so many is looked at first
NO_OUTLIER = "absent: no channel's gain is an outlier in any layer"


class Density(NamedTuple):
    """How many tokens within which radius make a place of the scaled plane dense."""

    tokens: int
    radius: float


def find_clumps(
    weights: xr.Dataset,
    counts: pd.DataFrame | None = None,
    *,
    tokens: int = 50,
    contrast: float = 3.0,
    draws: int = 99,
    resamples: int = 1000,
    interval: float = 0.95,
    seed: int = 0,
    rows: int = 1024,
) -> xr.Dataset:
    """Find clumps in the plane of (value in the most outlying gain channel, norm), if there are any.

    Both axes are scaled to their median and interquartile range. A place is dense if ``tokens``
    tokens are within a radius in which no random matrix has as many anywhere; dense places within that
    radius of each other are one cluster (DBSCAN). A cluster is a clump if the plane right around it is not
    almost as dense, and if it holds fewer than half of the tokens.

    Parameters
    ----------
    weights : Dataset
        ``token_embedding`` (vocab, channel), ``norm1_gain``, ``norm2_gain`` (layer, channel), and
        ``token_id``, ``token_str`` (vocab).
    counts : DataFrame, optional
        ``token_id`` and ``count``.
    tokens : int
        Tokens of a clump, at least.
    contrast : float
        Least ratio of a clump's density to that of as many tokens nearest to it outside.
    draws : int
        Random matrices. Chance finds a dense place in one of ``draws`` + 1 such matrices.
    resamples, interval, seed
        Of the bootstrap over the clump's tokens; ``interval`` is a coverage, e.g. 0.95.
    rows : int
        Rows of the matrix read at once.

    Returns
    -------
    Dataset
        By (vocab): ``value`` in the channel, ``norm`` (embedding units), and ``clump``, 0 outside, else its
        number, the densest first. ``channel``, ``contrast`` of the first clump (NaN if there is none).
        With counts ``count`` (vocab), ``count_in_clump``, ``count_outside`` (medians), and
        ``rarer_share``, the mean share of tokens that occur more often than one in a clump, ties counted
        half, with interval over the clumps' tokens and n (0.5: clumps have nothing to do with counts).
        Attributes: ``tokens``, ``radius`` (interquartile ranges), ``n_clumps``, ``draws``. Without
        an outlying channel the result is empty and attribute ``clump`` says so.
    """
    role = gain_channels(weights, 1)["channel_role"]
    if not (role == "outlier").any():
        return xr.Dataset(attrs={"clump": NO_OUTLIER})
    channel = int(np.argmax(role.values == "outlier"))
    embedding = weights["token_embedding"].transpose(VOCAB, CHANNEL).load().values
    norm, mean, std = measure(embedding, rows)
    value = embedding[:, channel].astype(float)

    plane = _scaled(value, norm)
    rng = generator(seed)
    planes = (_random_plane(channel, mean, std, len(norm), rng) for _ in range(draws))
    density = densest_by_chance(planes, tokens)
    clump, contrasts = clumps_of(plane, density, contrast)
    result = xr.Dataset(
        {"value": (VOCAB, value), "norm": (VOCAB, norm), "clump": (VOCAB, clump)},
        coords={name: weights[name] for name in (TOKEN_ID, TOKEN_STR)},
        attrs={
            "clump": "sought",
            "n_clumps": len(contrasts),
            "tokens": tokens,
            "radius": density.radius,
            "draws": draws,
            "least_contrast": contrast,
            "interval": interval,
        },
    ).assign(channel=channel, contrast=contrasts[0] if contrasts else np.nan)
    if counts is None:
        return result
    count = count_by_row(weights[TOKEN_ID], counts)
    return result.merge(
        _compare_counts(count, clump > 0, Bootstrap(resamples, interval, seed)), compat="equals"
    )


def densest_by_chance(planes: Iterable[np.ndarray], tokens: int) -> Density:
    """The least radius within which ``tokens`` tokens are anywhere in any of the planes (token, 2)."""
    radius = np.inf
    for plane in planes:
        tree = cKDTree(plane)
        # A few places first: beyond the least radius so far nothing need be looked for.
        for places in (plane[::FEW], plane):
            radius = min(radius, float(_reach(tree, places, tokens, radius).min()))
    return Density(tokens, radius)


def clumps_of(plane: np.ndarray, density: Density, contrast: float) -> tuple[np.ndarray, list[float]]:
    """Number of each token's clump (token), 0 for none, and the contrast of each, the highest first.

    Clusters are those of the cells of a fine grid, weighted by their tokens: time and memory are those of
    the cells that are taken, however many tokens are in one.
    """
    cell, which, weight = np.unique(
        np.floor(plane * CELLS / density.radius), axis=0, return_inverse=True, return_counts=True
    )
    # Tokens of cells that are so near are within the radius, wherever in their cells they are.
    reach = CELLS - np.sqrt(2)
    cells = DBSCAN(eps=reach, min_samples=density.tokens, algorithm="kd_tree").fit(cell, sample_weight=weight)
    label = cells.labels_[which.ravel()]
    clusters = [label == i for i in range(label.max() + 1)]
    clusters = [inside for inside in clusters if 2 * inside.sum() < len(plane)]
    each = [(_contrast(plane, inside, density.tokens), inside) for inside in clusters]
    each = sorted((e for e in each if e[0] >= contrast), key=lambda e: e[0], reverse=True)
    clump = np.zeros(len(plane), dtype=int)
    for number, (_, inside) in enumerate(each, start=1):
        clump[inside] = number
    return clump, [value for value, _ in each]


def clump_table(result: xr.Dataset) -> pd.DataFrame:
    """The tokens of every clump, the clump's centre (median) first.

    Columns: ``clump``, ``token_id``, ``token``, ``value``, ``norm``, ``distance`` from the centre (in
    interquartile ranges of all tokens), and ``count`` where there are counts.
    """
    columns = ["clump", "token_id", "token", "value", "norm", "distance"]
    if "norm" not in result:
        return pd.DataFrame(columns=columns)
    plane = _scaled(result["value"].values, result["norm"].values)
    table = pd.DataFrame(
        {
            "clump": result["clump"].values,
            "token_id": result[TOKEN_ID].values,
            "token": result[TOKEN_STR].values,
            "value": result["value"].values,
            "norm": result["norm"].values,
        }
    )
    if "count" in result:
        table["count"] = result["count"].values
    within = pd.DataFrame(plane).groupby(table["clump"])
    table.insert(5, "distance", np.linalg.norm(plane - within.transform("median"), axis=1))
    return table[table["clump"] > 0].sort_values(["clump", "distance"], kind="stable", ignore_index=True)


def _scaled(value: np.ndarray, norm: np.ndarray) -> np.ndarray:
    return robust_scale(np.column_stack([value, norm]))


def _random_plane(
    channel: int, mean: np.ndarray, std: np.ndarray, n: int, rng: np.random.Generator
) -> np.ndarray:
    """The plane of a matrix of independent normal entries, without the matrix.

    The other channels' sum of squares is drawn from the gamma distribution of its mean and variance
    (Satterthwaite 1946).
    """
    value = rng.normal(mean[channel], std[channel], n)
    m, v = np.delete(mean, channel) ** 2, np.delete(std, channel) ** 2
    expected, variance = (m + v).sum(), (2 * v**2 + 4 * m * v).sum()
    others = rng.gamma(expected**2 / variance, variance / expected, n)
    return _scaled(value, np.sqrt(value**2 + others))


def _reach(plane: cKDTree, at: np.ndarray, tokens: int, within: float = np.inf) -> np.ndarray:
    """Distance from each of some places to the so-manieth token; infinite where it is not ``within``."""
    return plane.query(at, [min(tokens, plane.n)], distance_upper_bound=within)[0][:, 0]


def _contrast(plane: np.ndarray, inside: np.ndarray, tokens: int) -> float:
    """Median density of a cluster over that of as many tokens nearest to its middle outside it."""
    outside = plane[~inside]
    around = cKDTree(outside).query(np.median(plane[inside], axis=0), range(1, 1 + inside.sum()))[1]
    tree = cKDTree(plane)
    near, far = (np.median(_reach(tree, at, tokens)) for at in (plane[inside], outside[around]))
    return float((far / near) ** 2) if near > 0 else np.inf


def _compare_counts(count: xr.DataArray, inside: np.ndarray, bootstrap: Bootstrap) -> xr.Dataset:
    known = np.isfinite(count.values)
    values, inside = count.values[known], inside[known]
    # The share of all other tokens that occur more often.
    rarer = 1 - (rankdata(values) - 1) / max(len(values) - 1, 1)
    result = bootstrap.estimate("rarer_share", np.mean, rarer[inside])
    medians = [np.median(part) if len(part) else np.nan for part in (values[inside], values[~inside])]
    return result.assign(count=count, count_in_clump=medians[0], count_outside=medians[1])
