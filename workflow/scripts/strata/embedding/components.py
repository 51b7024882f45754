"""What the leading components of the token embedding are: their tokens, and what they say about a token.

Singular directions, and beside them as many components of a non-negative factorisation. Every component
ranks the tokens; how well that tells a property is held against chance, and against what random directions
of the same embedding tell, which is the harder to beat: where embeddings differ by a property at all,
any direction tells a little of it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats
from statsmodels.stats.multitest import multipletests

from strata.embedding import orthogonality
from strata.embedding.names import (
    BASES,
    BASIS,
    CLASSES,
    END,
    ENDS,
    GROUP,
    HIGH,
    LOW,
    NMF,
    OTHER,
    PLACE,
    PROPERTY,
    SEEN,
    SVD,
)
from strata.embedding.token_properties import UNKNOWN
from strata.names import ALL, CHANNEL, COMPONENT, TOKEN_ID, TOKEN_SET, TOKEN_STR, VOCAB
from strata.stats.nmf import Factors, factorise
from strata.stats.ranks import separation
from strata.stats.two_groups import two_groups

CLASS_PROPERTIES = ("script", "part_of_speech")


def analyse(
    token_embedding: xr.DataArray,
    decomposition: xr.Dataset,
    properties: xr.Dataset,
    count: xr.DataArray,
    *,
    components: int,
    nmf_tokens: int,
    peaks: int,
    least: int,
    sample: int,
    draws: int,
    interval: float,
    seed: int,
) -> xr.Dataset:
    """Everything about the leading components, over all tokens and over those seen at least once.

    Parameters
    ----------
    token_embedding : DataArray (vocab, channel)
    decomposition : Dataset
        As `strata.embedding.svd.decompose` returns it.
    properties : Dataset
        As `strata.embedding.token_properties.describe_tokens` returns it.
    count : DataArray (vocab)
        As `strata.text.count_by_row` returns it. Rows without one are left out.
    components : int
        Of the SVD and of the NMF; fewer than channels.
    nmf_tokens : int
        The most frequent tokens, which the NMF is fitted to.
    peaks : tokens kept at either end of a component
    least : tokens that have to have a property, and not to have it, for it to be asked
    sample : tokens whose pairs are looked at, see `strata.embedding.orthogonality.cosines`
    draws : of as many random directions as there are components
    interval : coverage
    seed : of the NMF, the directions and the sample

    Returns
    -------
    Dataset
        ``score`` (basis, component, vocab): left singular vectors, and amounts of NMF components.
        ``direction`` (basis, component, channel), of length 1; ``direction_cosine`` (basis, component,
        other) between them, ``direction_largest`` (basis) off the diagonal, without its sign, and
        ``expected_direction_largest`` of as many random directions; ``explained`` (basis), the share of
        squares of the NMF's tokens that the components account for together. ``leading_space``, ``known``
        (is there a count?) and ``seen`` (vocab).
        What `peaks_of`, `separation_by_component`, `groups_by_component` and
        `strata.embedding.orthogonality.cosines` return, by token_set as well.

    Raises
    ------
    ValueError
        If there are not fewer components than channels, or more than tokens to fit the NMF to.
    """
    matrix = token_embedding.transpose(VOCAB, CHANNEL).values
    chosen = np.argsort(-np.nan_to_num(count.values), kind="stable")[:nmf_tokens]
    factors = factorise(matrix[chosen], components, seed)
    leading = decomposition.isel({COMPONENT: slice(components)})
    right = leading["token_right"].transpose(COMPONENT, CHANNEL).values
    directions = np.stack([right, factors.directions])
    score = xr.DataArray(
        np.stack([leading["token_left"].transpose(COMPONENT, VOCAB).values, factors.amounts(matrix).T]),
        dims=(BASIS, COMPONENT, VOCAB),
        coords={BASIS: list(BASES), COMPONENT: np.arange(components)},
    ).assign_coords({name: token_embedding[name] for name in (TOKEN_STR, TOKEN_ID)})
    between = [orthogonality.between(each) for each in directions]
    result = xr.Dataset(
        {
            "score": score,
            "direction": ((BASIS, COMPONENT, CHANNEL), directions),
            "direction_cosine": ((BASIS, COMPONENT, OTHER), [cosine for cosine, _ in between]),
            "direction_largest": (BASIS, [largest for _, largest in between]),
            "expected_direction_largest": orthogonality.largest_of_random(components, matrix.shape[1]),
            "explained": (BASIS, _explained(matrix[chosen], right, factors)),
            "leading_space": decomposition["leading_space"].drop_vars((TOKEN_STR, TOKEN_ID), errors="ignore"),
            "known": (VOCAB, np.isfinite(count.values)),
            "seen": (VOCAB, count.values > 0),
        },
        coords={OTHER: np.arange(components)},
        attrs={
            "interval": interval,
            "draws": draws,
            "least": least,
            "nmf_tokens": len(chosen),
            "part_of_speech": "known for some" if "part_of_speech" in properties else "not known",
        },
    )
    by_set = []
    for rows in (np.flatnonzero(np.isfinite(count.values)), np.flatnonzero(count.values > 0)):
        part, some = score.isel({VOCAB: rows}), properties.isel({VOCAB: rows})
        embedding = token_embedding.isel({VOCAB: rows})
        told = separation_by_component(
            part, embedding, some, least=least, draws=draws, interval=interval, seed=seed
        )
        groups = groups_by_component(part.sel({BASIS: SVD}, drop=True), some)
        pairs = orthogonality.cosines(embedding, sample=sample, interval=interval, seed=seed)
        labels = {name: (by_set[0] if by_set else told)[name].values for name in (PROPERTY, CLASSES)}
        # What too few of the seen tokens have is NaN there.
        every = [each.reindex({n: v for n, v in labels.items() if n in each.dims}) for each in (told, groups)]
        by_set.append(xr.merge([peaks_of(part, peaks), *every, pairs], join="exact"))
    sets = xr.DataArray([ALL, SEEN], dims=TOKEN_SET, name=TOKEN_SET)
    both = xr.concat(by_set, dim=sets, join="exact", data_vars="all", coords="minimal", compat="override")
    return xr.merge([result, both], join="exact", combine_attrs="drop_conflicts")


def peaks_of(score: xr.DataArray, n_peaks: int) -> xr.Dataset:
    """The tokens at either end of every component.

    Returns
    -------
    Dataset
        ``peak_str`` and ``peak_id`` (basis, component, end, place), the outermost first; empty and -1 at
        the low end of NMF components, which is where they are merely absent, and beyond the last token.
    """
    values = score.transpose(BASIS, COMPONENT, VOCAB).values
    found = min(n_peaks, values.shape[-1])
    order = np.argsort(values, axis=-1, kind="stable")
    rows = np.full((*values.shape[:2], len(ENDS), n_peaks), -1)
    rows[:, :, ENDS.index(HIGH), :found] = order[..., : -found - 1 : -1]
    rows[list(BASES).index(SVD), :, ENDS.index(LOW), :found] = order[list(BASES).index(SVD), :, :found]
    strings, ids = score[TOKEN_STR].values.astype(object), score[TOKEN_ID].values
    dims = (BASIS, COMPONENT, END, PLACE)
    return xr.Dataset(
        {
            "peak_str": (dims, np.where(rows >= 0, strings[rows], "")),
            "peak_id": (dims, np.where(rows >= 0, ids[rows], -1)),
        },
        coords={BASIS: score[BASIS].values, COMPONENT: score[COMPONENT].values, END: list(ENDS)},
    )


# Properties ---------------------------------------------------------------------------------


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
    auc = np.concatenate([separation(scores[part.rows], part.flags) for part in asked])
    eta = [_eta_squared(scores[part.rows], part.flags) for part in asked if part.classes]
    known = np.isfinite(length)
    ranks = stats.rankdata(length[known])
    rho = [np.corrcoef(stats.rankdata(column[known]), ranks)[0, 1] for column in scores.T]
    return auc, np.reshape(eta, (-1, scores.shape[1])), np.array(rho)


def _eta_squared(scores: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Share of the variance of each column's ranks that lies between classes."""
    ranks = stats.rankdata(scores, axis=0) - (len(scores) + 1) / 2
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
    """How well every component tells every property of a token.

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
        relation (Mann and Whitney, Kruskal and Wallis, Student), by Holm's correction for all of them; and
        ``_random``: what the best of as many random directions reaches (|AUC - 1/2| for ``auc``, |rho|),
        in all but 1 - interval of the draws. ``property_classes`` (property): what it is a class of.
    """
    asked = _flags_of(properties, least)
    length = properties["length"].values
    scores = score.stack(column=(BASIS, COMPONENT)).transpose(VOCAB, "column").values.astype(float)
    auc, eta, rho = _tell(scores, asked, length)

    rng = np.random.default_rng(seed)
    matrix = token_embedding.transpose(VOCAB, CHANNEL).values
    best = []
    for _ in range(draws):
        directions = rng.standard_normal((matrix.shape[1], score.sizes[COMPONENT])).astype(matrix.dtype)
        found = _tell(matrix @ directions, asked, length)
        best.append([abs(found[0] - 0.5).max(1), found[1].max(1), abs(found[2]).max()])
    random = [np.quantile(np.stack(each), interval, axis=0) for each in zip(*best, strict=True)]

    n_with = np.concatenate([part.flags.sum(1) for part in asked])
    n_without = np.concatenate([(~part.flags).sum(1) for part in asked])
    error = np.concatenate([_auc_error(scores[part.rows], part.flags) for part in asked])
    n_length = int(np.isfinite(length).sum())
    chance = np.sqrt((n_with + n_without + 1) / (12 * n_with * n_without))[:, None]
    kinds = [part for part in asked if part.classes]
    size = np.array([len(part.rows) for part in kinds])[:, None]
    freedom = np.array([len(part.names) - 1 for part in kinds])[:, None]
    student = rho * np.sqrt((n_length - 2) / (1 - rho**2))
    p = _holm(
        2 * stats.norm.sf(abs(auc - 0.5) / chance),
        stats.chi2.sf((size - 1) * eta, freedom) if kinds else eta,
        2 * stats.t.sf(abs(student), n_length - 2),
    )
    reach = stats.norm.isf((1 - interval) / 2)
    spread = reach * np.sqrt((1 + rho**2 / 2) / (n_length - 3))
    shape = (score.sizes[BASIS], score.sizes[COMPONENT])

    def by_component(values: np.ndarray, *dim: str) -> tuple[tuple[str, ...], np.ndarray]:
        """From (..., column)."""
        return (BASIS, COMPONENT, *dim), np.moveaxis(values, -1, 0).reshape(*shape, *values.shape[:-1])

    return xr.Dataset(
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
            "rho_length_low": by_component(np.tanh(np.arctanh(rho) - spread)),
            "rho_length_high": by_component(np.tanh(np.arctanh(rho) + spread)),
            "rho_length_p": by_component(p[2]),
            "rho_length_random": float(random[2]),
        },
        coords={
            BASIS: score[BASIS].values,
            COMPONENT: score[COMPONENT].values,
            PROPERTY: [name for part in asked for name in part.names],
            "property_classes": (PROPERTY, [part.classes for part in asked for _ in part.names]),
            CLASSES: np.array([part.classes for part in kinds], dtype=object),
        },
    )


def _auc_error(scores: np.ndarray, flags: np.ndarray) -> np.ndarray:
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


def _holm(*families: np.ndarray) -> list[np.ndarray]:
    """p-values of any shapes, corrected as one family (Holm 1979); NaN stays."""
    flat = np.concatenate([family.ravel() for family in families])
    known = np.isfinite(flat)
    flat[known] = multipletests(flat[known], method="holm")[1]
    ends = np.cumsum([family.size for family in families])[:-1]
    return [part.reshape(f.shape) for part, f in zip(np.split(flat, ends), families, strict=True)]


# Two groups ---------------------------------------------------------------------------------


def groups_by_component(score: xr.DataArray, properties: xr.Dataset) -> xr.Dataset:
    """Whether tokens fall into two groups along a component, and which property they are told by.

    Parameters
    ----------
    score : DataArray (component, vocab)

    Returns
    -------
    Dataset
        See `strata.embedding.bimodality.Groups`: ``two_groups``, ``groups_distance`` (Ashman's D),
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


def _explained(rows: np.ndarray, right: np.ndarray, factors: Factors) -> list[float]:
    """Shares of the rows' squares that SVD and NMF components account for."""
    whole = np.einsum("ij,ij->", rows, rows, dtype=float)
    kept = ((rows @ right.T.astype(rows.dtype)).astype(float) ** 2).sum()
    positive, negative = np.hsplit(factors.amounts(rows) @ factors.parts, 2)
    left = rows - (positive - negative)
    return [float(kept / whole), float(1 - np.einsum("ij,ij->", left, left, dtype=float) / whole)]


def table(result: xr.Dataset) -> pd.DataFrame:
    """How well components tell properties, a row each.

    ``tokens``, ``basis``, ``component``; ``what`` ("auc", "eta2", or "rho" of length), ``of`` which
    property; ``value``, ``low``, ``high``; ``p``, corrected; ``random``, what random directions reach.
    """
    parts = []
    for what, of in (("auc", PROPERTY), ("eta2", CLASSES), ("rho_length", None)):
        ends = {"": "value", "_low": "low", "_high": "high", "_p": "p", "_random": "random"}
        chosen = {what + end: name for end, name in ends.items() if what + end in result}
        frame = result[list(chosen)].reset_coords(drop=True).to_dataframe().reset_index()
        frame["of"] = frame[of] if of else "length"
        parts.append(frame.rename(columns=chosen).assign(what=what.removesuffix("_length")))
    columns = {TOKEN_SET: "tokens", BASIS: "basis", COMPONENT: "component"}
    whole = pd.concat(parts).rename(columns=columns).dropna(subset="value")
    whole["tokens"] = whole["tokens"].astype(str)
    order = ["tokens", "basis", "component", "what", "of", "value", "low", "high", "p", "random"]
    return whole[order].sort_values(order[:5], kind="stable").reset_index(drop=True)


def peaks_table(result: xr.Dataset) -> pd.DataFrame:
    """The tokens at the ends of every component.

    ``tokens``, ``basis``, ``component``, ``end``, ``place``, ``token_id``, ``token_str``.
    """
    frame = result[["peak_id", "peak_str"]].to_dataframe().reset_index()
    columns = {TOKEN_SET: "tokens", "peak_id": TOKEN_ID, "peak_str": TOKEN_STR}
    order = ["tokens", BASIS, COMPONENT, END, PLACE, TOKEN_ID, TOKEN_STR]
    return frame[frame["peak_id"] >= 0].rename(columns=columns)[order].reset_index(drop=True)
