"""What the leading components of the token embedding are: their tokens, and what they say about a token.

Singular directions, and as many components of a non-negative factorisation. Every component
ranks the tokens; how well that separates a property is measured by `strata.embedding.component_properties`.
"""

import numpy as np
import pandas as pd
import xarray as xr

from strata.embedding import orthogonality
from strata.embedding.component_plane import in_plane
from strata.embedding.component_properties import groups_by_component, separation_by_component
from strata.embedding.directions import along_by_length, overlap_with_positions
from strata.embedding.names import (
    BASES,
    BASIS,
    CLASSES,
    END,
    ENDS,
    HIGH,
    LEADING_SPACE,
    LOW,
    OTHER,
    PLACE,
    PLANE,
    PROPERTY,
    SEEN,
    SVD,
)
from strata.names import ALL, CHANNEL, COMPONENT, TOKEN_ID, TOKEN_SET, TOKEN_STR, VOCAB
from strata.stats.nmf import Factors, factorise

RANDOM_DIRECTIONS = 10_000
"""That the overlap of components with positions is compared with."""


def analyse(
    token_embedding: xr.DataArray,
    decomposition: xr.Dataset,
    properties: xr.Dataset,
    count: xr.DataArray,
    position_embedding: xr.DataArray | None = None,
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
        As `strata.text.documents.count_by_row` returns it. Rows without one are left out.
    position_embedding : DataArray (position, channel) or None
        None where the model has none.
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
        (is there a count?), ``seen`` and ``norm`` (vocab); ``singular_value`` (component). What
        `strata.embedding.directions.overlap_with_positions` returns of the SVD, where there are positions.
        What `peaks_of`, `separation_by_component`, `groups_by_component`,
        `strata.embedding.directions.along_by_length` (of the SVD), `strata.embedding.orthogonality.cosines`
        and, where enough of the seen tokens begin with a space and enough do not,
        `strata.embedding.component_plane.in_plane` return, by token_set as well.

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
            "norm": (VOCAB, np.linalg.norm(matrix, axis=1)),
            "singular_value": (COMPONENT, leading["token_singular_value"].values),
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
    if position_embedding is not None:
        overlap = overlap_with_positions(
            right, position_embedding, draws=RANDOM_DIRECTIONS, interval=interval, seed=seed
        )
        result = result.merge(overlap)
    by_set = []
    for rows in (np.flatnonzero(np.isfinite(count.values)), np.flatnonzero(count.values > 0)):
        part, some = score.isel({VOCAB: rows}), properties.isel({VOCAB: rows})
        embedding = token_embedding.isel({VOCAB: rows})
        told = separation_by_component(
            part, embedding, some, least=least, draws=draws, interval=interval, seed=seed
        )
        groups = groups_by_component(part.sel({BASIS: SVD}, drop=True), some)
        plane = in_plane(score.sel({BASIS: SVD}, drop=True), properties, rows, least, interval, seed)
        lengths = along_by_length(embedding, right, interval=interval)
        pairs = orthogonality.cosines(embedding, sample=sample, interval=interval, seed=seed)
        labels = {name: (by_set[0] if by_set else told)[name].values for name in (PROPERTY, CLASSES)}
        # What too few of the seen tokens have is NaN there.
        measured = (told, groups, plane)
        every = [each.reindex({n: v for n, v in labels.items() if n in each.dims}) for each in measured]
        by_set.append(xr.merge([peaks_of(part, peaks), *every, lengths, pairs], join="exact"))
    if not all("plane_auc" in each for each in by_set):
        by_set = [each.drop_vars([name for name in each if name.startswith("plane_")]) for each in by_set]
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


def _explained(rows: np.ndarray, right: np.ndarray, factors: Factors) -> list[float]:
    """Shares of the rows' squares that SVD and NMF components account for."""
    whole = np.einsum("ij,ij->", rows, rows, dtype=float)
    kept = ((rows @ right.T.astype(rows.dtype)).astype(float) ** 2).sum()
    positive, negative = np.hsplit(factors.amounts(rows) @ factors.parts, 2)
    left = rows - (positive - negative)
    return [float(kept / whole), float(1 - np.einsum("ij,ij->", left, left, dtype=float) / whole)]


def table(result: xr.Dataset) -> pd.DataFrame:
    """How well components tell properties, a row each.

    ``tokens``, ``basis``, ``component``; ``what`` ("auc", "eta2", "rho" of length, or "auc_plane" of a
    component together with the next), ``of`` which property; ``value``, ``low``, ``high``; ``p``, and
    ``p_adjusted`` for all tests of its ``family``;
    ``random``, what random directions reach.
    """
    parts = []
    for what, of in (("auc", PROPERTY), ("eta2", CLASSES), ("rho_length", None)):
        ends = {"": "value", "_low": "low", "_high": "high", "_random": "random"}
        ends |= {"_p": "p", "_p_adjusted": "p_adjusted"}
        chosen = {what + end: name for end, name in ends.items() if what + end in result}
        frame = result[list(chosen)].reset_coords(drop=True).to_dataframe().reset_index()
        frame["of"] = frame[of] if of else "length"
        parts.append(frame.rename(columns=chosen).assign(what=what.removesuffix("_length")))
    if "plane_auc" in result:
        ends = {f"plane_auc{end}": name for end, name in (("", "value"), ("_low", "low"), ("_high", "high"))}
        frame = result[list(ends)].reset_coords(drop=True).to_dataframe().reset_index().rename(columns=ends)
        at = {BASIS: SVD, COMPONENT: PLANE[0], "what": "auc_plane", "of": LEADING_SPACE}
        parts.append(frame.assign(**at))
    columns = {TOKEN_SET: "tokens", BASIS: "basis", COMPONENT: "component"}
    whole = pd.concat(parts).rename(columns=columns).dropna(subset="value")
    whole["tokens"] = whole["tokens"].astype(str)
    n = dict(zip(result[TOKEN_SET].values, result["n_tests"].values, strict=True))
    family = whole["tokens"].map({name: f"components, {name} tokens: {k} (Holm)" for name, k in n.items()})
    whole["family"] = family.where(whole["p"].notna(), "")
    order = ["tokens", "basis", "component", "what", "of"]
    order += ["value", "low", "high", "p", "p_adjusted", "family", "random"]
    return whole[order].sort_values(order[:5], kind="stable").reset_index(drop=True)


def peaks_table(result: xr.Dataset) -> pd.DataFrame:
    """The tokens at the ends of every component.

    ``tokens``, ``basis``, ``component``, ``end``, ``place``, ``token_id``, ``token_str``.
    """
    frame = result[["peak_id", "peak_str"]].to_dataframe().reset_index()
    columns = {TOKEN_SET: "tokens", "peak_id": TOKEN_ID, "peak_str": TOKEN_STR}
    order = ["tokens", BASIS, COMPONENT, END, PLACE, TOKEN_ID, TOKEN_STR]
    return frame[frame["peak_id"] >= 0].rename(columns=columns)[order].reset_index(drop=True)
