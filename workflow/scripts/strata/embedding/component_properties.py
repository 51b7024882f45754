"""What components of the embedding say about a token: its properties, and which of two groups it is in.

How well a component separates a property is compared with chance, and with random directions of the same
embedding, which are harder to beat: where embeddings differ by a property at all, any direction separates a
little of it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from strata.embedding.names import BASIS, CLASSES, GROUP, PROPERTY
from strata.embedding.token_properties import UNKNOWN
from strata.names import CHANNEL, COMPONENT, VOCAB
from strata.stats.many_tests import HOLM, with_adjusted
from strata.stats.ranks import columnwise_rank_correlation, separation_by_rank
from strata.stats.seeding import generator
from strata.stats.thresholds import enough
from strata.stats.two_groups import two_groups

CLASS_PROPERTIES = ("script", "part_of_speech")


@dataclass(frozen=True)
class _Flags:
    """Yes-or-no properties ``names`` of the tokens at ``rows``: ``flags`` (property, row).

    ``classes`` is the name of the property whose classes they are, or empty; every row has one of them.
    """

    classes: str
    names: list[str]
    rows: np.ndarray
    flags: np.ndarray


def _flags_of(properties: xr.Dataset, least: int) -> list[_Flags]:
    """What can be asked: what at least so many tokens have, and as many of those asked have not."""
    flags = properties["flag"].transpose(PROPERTY, VOCAB).values
    n = flags.sum(1)
    enough = (n >= least) & (flags.shape[1] - n >= least)
    every = np.arange(flags.shape[1])
    found = [_Flags("", list(properties[PROPERTY].values[enough]), every, flags[enough])]
    for kind in CLASS_PROPERTIES:
        if kind not in properties:
            continue
        classes = pd.Series(properties[kind].values.astype(str))
        sizes = classes[classes != UNKNOWN].value_counts()
        names = sorted(sizes.index[sizes >= least])
        if len(names) > 1:
            rows = np.flatnonzero(classes.isin(names))
            each = np.array([classes.to_numpy()[rows] == name for name in names])
            found.append(_Flags(kind, names, rows, each))
    return found


def _tell(scores: np.ndarray, asked: list[_Flags], length: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of scores (item, column): AUC (property, column), eta² (classes, column), rank correlation (column)."""
    auc, eta = [], []
    for part in asked:
        ranks = stats.rankdata(scores[part.rows], axis=0)
        auc.append(separation_by_rank(ranks, part.flags))
        if part.classes:
            eta.append(_eta_squared(ranks, part.flags))
    rho = columnwise_rank_correlation(scores, length, np.isfinite(length))
    return np.concatenate(auc), np.reshape(eta, (-1, scores.shape[1])), rho


def _eta_squared(ranks: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Share of the variance of each column's ranks (row, column) that lies between classes."""
    ranks = ranks - (len(ranks) + 1) / 2
    sizes = flags.sum(1)[:, None]
    return ((flags.astype(float) @ ranks) ** 2 / sizes).sum(0) / (ranks**2).sum(0)


def separation_by_component(
    score: xr.DataArray,
    token_embedding: xr.DataArray,
    properties: xr.Dataset,
    *,
    least: int,
    draws: int,
    interval: float,
    seed: int,
) -> xr.Dataset:
    """How well every component separates every property of a token.

    Parameters
    ----------
    score : DataArray (basis, component, vocab)
    token_embedding : DataArray (vocab, channel)
        Of the same tokens: the random directions are drawn in it.
    properties : Dataset
        As `strata.embedding.token_properties.describe_tokens` returns it. Each class of a property that has
        classes is asked for by itself, against the others, of the tokens that are of a class; classes of
        fewer than ``least`` tokens are left out.

    Returns
    -------
    Dataset
        ``auc`` (basis, component, property), with ``auc_low``, ``auc_high`` (DeLong et al. 1988) and
        ``n_with``, ``n_without`` (property). ``eta2`` (basis, component, classes), the share of the variance
        of ranks that lies between classes. ``rho_length`` (basis, component), Spearman's correlation with
        length, ``rho_length_low`` and ``_high`` (Bonett and Wright 2000). Each with ``_p``, two-sided, of no
        relation (Mann and Whitney, Kruskal and Wallis, Student); ``_p_adjusted``, by Holm's correction for
        all ``n_tests`` of them; and ``_random``: what the best of as many random directions reaches
        (|AUC - 1/2| for ``auc``, |rho|), in all but 1 - interval of the draws. ``property_classes``
        (property): what it is a class of.
    """
    asked = _flags_of(properties, least)
    length = properties["length"].values
    scores = score.stack(column=(BASIS, COMPONENT)).transpose(VOCAB, "column").values.astype(float)
    auc, eta, rho = _tell(scores, asked, length)

    rng = generator(seed)
    matrix = token_embedding.transpose(VOCAB, CHANNEL).values
    best = []
    for _ in range(draws):
        directions = rng.standard_normal((matrix.shape[1], score.sizes[COMPONENT])).astype(matrix.dtype)
        found = _tell(matrix @ directions, asked, length)
        best.append([abs(found[0] - 0.5).max(1), found[1].max(1), abs(found[2]).max()])
    random = [np.quantile(np.stack(each), interval, axis=0) for each in zip(*best, strict=True)]

    n_with = np.concatenate([part.flags.sum(1) for part in asked])
    n_without = np.concatenate([(~part.flags).sum(1) for part in asked])
    error = np.concatenate([auc_error(scores[part.rows], part.flags) for part in asked])
    error[~enough(np.minimum(n_with, n_without))] = np.nan
    n_length = int(np.isfinite(length).sum())
    chance = np.sqrt((n_with + n_without + 1) / (12 * n_with * n_without))[:, None]
    kinds = [part for part in asked if part.classes]
    size = np.array([len(part.rows) for part in kinds])[:, None]
    freedom = np.array([len(part.names) - 1 for part in kinds])[:, None]
    student = rho * np.sqrt((n_length - 2) / (1 - rho**2))
    p = [
        2 * stats.norm.sf(abs(auc - 0.5) / chance),
        stats.chi2.sf((size - 1) * eta, freedom) if kinds else eta,
        2 * stats.t.sf(abs(student), n_length - 2),
    ]
    reach = stats.norm.isf((1 - interval) / 2)
    rho_low, rho_high = spearman_interval(rho, n_length, interval)
    shape = (score.sizes[BASIS], score.sizes[COMPONENT])

    def by_component(values: np.ndarray, *dim: str) -> tuple[tuple[str, ...], np.ndarray]:
        """From (..., column)."""
        return (BASIS, COMPONENT, *dim), np.moveaxis(values, -1, 0).reshape(*shape, *values.shape[:-1])

    told = xr.Dataset(
        {
            "auc": by_component(auc, PROPERTY),
            "auc_low": by_component(np.maximum(auc - reach * error, 0), PROPERTY),
            "auc_high": by_component(np.minimum(auc + reach * error, 1), PROPERTY),
            "auc_p": by_component(p[0], PROPERTY),
            "auc_random": (PROPERTY, random[0]),
            "n_with": (PROPERTY, n_with),
            "n_without": (PROPERTY, n_without),
            "eta2": by_component(eta, CLASSES),
            "eta2_p": by_component(p[1], CLASSES),
            "eta2_random": (CLASSES, random[1]),
            "rho_length": by_component(rho),
            "rho_length_low": by_component(rho_low),
            "rho_length_high": by_component(rho_high),
            "rho_length_p": by_component(p[2]),
            "rho_length_random": float(random[2]),
            "n_tests": int(sum(np.isfinite(each).sum() for each in p)),
        },
        coords={
            BASIS: score[BASIS].values,
            COMPONENT: score[COMPONENT].values,
            PROPERTY: [name for part in asked for name in part.names],
            "property_classes": (PROPERTY, [part.classes for part in asked for _ in part.names]),
            CLASSES: np.array([part.classes for part in kinds], dtype=object),
        },
    )
    names = ("auc_p", "eta2_p", "rho_length_p")
    told = with_adjusted(told, *names, method=HOLM)
    for name in names:  # beside other sets of tokens, of which other properties can be asked
        told[f"{name}_adjusted"].attrs["family"] = f"{', '.join(names)}: n_tests ({HOLM})"
    return told


def auc_error(scores: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Standard errors (property, column) of areas under the ROC curve, after DeLong et al. 1988.

    From the share of the rest that each of the group is above, and of the group that each of the rest is
    below: a token's rank among all less its rank among its own.
    """
    error = np.empty((len(flags), scores.shape[1]))
    for column, values in enumerate(scores.T):
        ranks = stats.rankdata(values)
        for i, flag in enumerate(flags):
            sides = [(ranks[side] - stats.rankdata(values[side])) / (~side).sum() for side in (flag, ~flag)]
            error[i, column] = np.sqrt(sum(side.var(ddof=1) / len(side) for side in sides))
    return error


def spearman_interval(rho: np.ndarray, n: int, interval: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the interval of rank correlations over n pairs (Bonett and Wright 2000); NaN for too few."""
    if not enough(n):
        return np.full_like(rho, np.nan), np.full_like(rho, np.nan)
    reach = stats.norm.isf((1 - interval) / 2) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    with np.errstate(divide="ignore"):  # a perfect one is infinitely far out
        return np.tanh(np.arctanh(rho) - reach), np.tanh(np.arctanh(rho) + reach)


# Two groups ---------------------------------------------------------------------------------


def groups_by_component(score: xr.DataArray, properties: xr.Dataset) -> xr.Dataset:
    """Whether tokens fall into two groups along a component, and which property agrees with the groups.

    Parameters
    ----------
    score : DataArray (component, vocab)

    Returns
    -------
    Dataset
        See `strata.stats.two_groups.Groups`: ``two_groups``, ``groups_distance`` (Ashman's D),
        ``groups_bic_gain``, ``groups_one_mode_p``, ``groups_valley`` (component); ``groups_weight``,
        ``groups_mean``, ``groups_deviation`` (component, group), the lower first. ``groups_agreement``
        (component, property): balanced accuracy of the property for being in the fitted upper group, 1/2
        for none, 0 or 1 if one is the other; exact for these tokens and this fit. NaN where all have the
        property or none has.
    """
    values = score.transpose(COMPONENT, VOCAB).values.astype(float)
    fits = [two_groups(row) for row in values]
    flags = properties["flag"].transpose(PROPERTY, VOCAB).values
    with np.errstate(invalid="ignore"):
        shares = [
            [(flags & upper).sum(1) / flags.sum(1), (~flags & ~upper).sum(1) / (~flags).sum(1)]
            for upper in (fit.is_upper(row) for fit, row in zip(fits, values, strict=True))
        ]
    by_group = {"weight": "weights", "mean": "means", "deviation": "deviations"}
    return xr.Dataset(
        {
            "two_groups": (COMPONENT, [fit.two for fit in fits]),
            "groups_distance": (COMPONENT, [fit.distance for fit in fits]),
            "groups_bic_gain": (COMPONENT, [fit.bic_gain for fit in fits]),
            "groups_one_mode_p": (COMPONENT, [fit.one_mode_p for fit in fits]),
            "groups_valley": (COMPONENT, [fit.valley for fit in fits]),
            "groups_agreement": ((COMPONENT, PROPERTY), np.mean(shares, axis=1)),
        }
        | {
            f"groups_{name}": ((COMPONENT, GROUP), [getattr(fit, field) for fit in fits])
            for name, field in by_group.items()
        },
        coords={
            COMPONENT: score[COMPONENT].values,
            PROPERTY: properties[PROPERTY].values,
            GROUP: ["lower", "upper"],
        },
    )
