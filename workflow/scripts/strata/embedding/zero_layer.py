"""The model without its layers: the best match of each token's embedding.

A token's embedding is multiplied with every token's: the raw embedding W (W Wᵀ), the unembedding U where it
is another matrix (W Uᵀ), and what the model itself would say of an input that no layer has touched (its final
norm, then U). The token of the highest score is the best match, the one that a token *calls for*. A token
that calls for itself is on the diagonal; the others are exceptions. No table of all pairs is ever held
(`strata.embedding.scores`); ties go to the token itself, then to the lowest row.
"""

import numpy as np
import pandas as pd
import torch
import xarray as xr
from scipy import stats
from statsmodels.stats.proportion import proportion_confint
from torch.nn.functional import normalize

from strata.embedding.names import CENTRED, CENTRING, EMBEDDING, FINAL_NORM, RAW, UNEMBEDDING, VARIANT
from strata.embedding.scores import Scores
from strata.embedding.spelling import KINDS, relation
from strata.embedding.tiles import measure
from strata.model.readout import decoder_from
from strata.names import BAND, CHANNEL, KIND, TOKEN_ID, TOKEN_STR, VOCAB, K
from strata.progress import Progress, silent
from strata.stats.bootstrap import Bootstrap
from strata.stats.defined import percentiles
from strata.stats.groups import named
from strata.stats.permutation import permuted
from strata.stats.seeding import generator
from strata.stats.thresholds import enough
from strata.text.documents import count_by_row

CHANCE_QUANTILE = 0.99


def analyse(
    weights: xr.Dataset,
    counts: pd.DataFrame | None = None,
    *,
    neighbours: int = 5,
    shuffles: int = 99,
    resamples: int = 1000,
    interval: float = 0.95,
    seed: int = 0,
    rows: int = 1024,
    columns: int = 4096,
    device: str = "cpu",
    progress: Progress = silent,
) -> xr.Dataset:
    """What every token calls for, the exceptions by kind, what attracts them, and nearest neighbours.

    Parameters
    ----------
    weights : Dataset
        ``token_embedding``, ``unembedding`` (vocab, channel), the final norm as
        `strata.model.weights.weights` keeps it, ``unembedding_bias`` (vocab) if there is one, and
        coordinates ``token_id``, ``token_str`` (vocab). Best opened lazily: a tied matrix is read once.
    counts : DataFrame, optional
        ``token_id`` and ``count``: the share on the diagonal by frequency.
    neighbours : int
        Nearest others kept for each token.
    shuffles : int
        Of what the exceptions call for, among them: how often would a kind occur by chance?
    resamples, interval, seed
        Of the bootstrap over attracting tokens; ``interval`` is a coverage, e.g. 0.95.
    rows, columns : int
        Size of a tile. Beyond the weights, memory is a few times (rows + columns) x channel and
        rows x columns float32 values, and some tens of values a token.
    device : str
        Where products are made.

    Returns
    -------
    Dataset
        By (variant, vocab): ``on_diagonal``; ``own_score``; ``other_row``, ``other_score``, the best of the
        other tokens, so that an exception calls for ``other_row``; ``attracted``, how many others call for
        the token; ``key_norm``, length of the vector a token is called by. ``embedding_norm`` (vocab).
        What `diagonal_share`, `attraction` and `kinds_of_exceptions` return, by variant, and
        `nearest_neighbours`, by centring; ``share_by_length``, see there. With counts ``count`` (vocab) and
        what `share_by_frequency` returns.
        Attribute ``tied`` says (1 or 0) whether the unembedding is the embedding; if so, variant
        "unembedding" is absent.

    Raises
    ------
    ValueError
        If a matrix holds NaN or infinite entries, or there are too few tokens for ``neighbours``.
    """
    tile = {"rows": rows, "columns": columns, "device": device, "progress": progress}
    weights, tied = load_once(weights, rows)
    embedding = weights["token_embedding"].transpose(VOCAB, CHANNEL).values
    unembedding = weights["unembedding"].transpose(VOCAB, CHANNEL).values
    norm, mean, _ = measure(embedding, rows)
    key_norm = norm if tied else measure(unembedding, rows)[0]

    decoder = decoder_from(weights).to(device)
    variants = {
        EMBEDDING: Scores(embedding, embedding),
        UNEMBEDDING: Scores(embedding, unembedding),
        FINAL_NORM: Scores(embedding, unembedding, of_query=decoder.rows, bias=decoder.bias),
    }
    if tied:
        del variants[UNEMBEDDING]
    key_norms = {name: norm if name == EMBEDDING else key_norm for name in variants}
    found = [_called_for(s, **tile).assign(key_norm=(VOCAB, key_norms[v])) for v, s in variants.items()]
    result = xr.concat(found, dim=named(VARIANT, variants), join="exact")
    result["embedding_norm"] = VOCAB, norm
    result = result.assign_coords({name: weights[name] for name in (TOKEN_ID, TOKEN_STR)})

    parts = [
        result,
        diagonal_share(result["on_diagonal"], interval),
        xr.Dataset({"share_by_length": share_by_length(norm, embedding.shape[1])}),
        attraction(result, Bootstrap(resamples, interval, seed)),
        kinds_of_exceptions(result, shuffles, interval, seed),
        nearest_neighbours(embedding, mean, neighbours, interval, **tile),
    ]
    if counts is not None:
        count = count_by_row(weights[TOKEN_ID], counts)
        parts += [count, share_by_frequency(result["on_diagonal"], count, interval)]
    made = {"interval": interval, "resamples": resamples, "shuffles": shuffles, "seed": seed}
    return xr.merge(parts, join="exact", compat="no_conflicts").assign_attrs(tied=int(tied), **made)


def load_once(weights: xr.Dataset, rows: int = 1024) -> tuple[xr.Dataset, bool]:
    """The weights in memory, an unembedding equal to the embedding held once, and whether it is."""
    embedding, unembedding = (weights[name] for name in ("token_embedding", "unembedding"))
    starts = range(0, weights.sizes[VOCAB], rows)
    tiles = ({VOCAB: slice(start, start + rows)} for start in starts)
    tied = all(embedding.isel(t).equals(unembedding.isel(t)) for t in tiles)
    if tied:
        loaded = weights.drop_vars("unembedding").load()
        return loaded.assign(unembedding=loaded["token_embedding"]), tied
    return weights.load(), tied


def _called_for(scores: Scores, **tile) -> xr.Dataset:
    others, best, own = scores.best_others(1, **tile)
    other, on_diagonal = others[:, 0], own >= best[:, 0]
    fields = {
        "on_diagonal": on_diagonal,
        "own_score": own.astype("float32"),
        "other_row": other.astype("int32"),
        "other_score": best[:, 0].astype("float32"),
        "attracted": np.bincount(other[~on_diagonal], minlength=len(own)).astype("int32"),
    }
    return xr.Dataset({name: (VOCAB, values) for name, values in fields.items()})


# The diagonal -------------------------------------------------------------------------------


def diagonal_share(on_diagonal: xr.DataArray, interval: float) -> xr.Dataset:
    """``share`` (variant) of tokens that have themselves as top guess, with ends and number.

    The share is exact for this vocabulary; the interval (Wilson 1927) is that of a vocabulary whose tokens
    were drawn from many like them.
    """
    return _proportion("share", on_diagonal.sum(VOCAB), on_diagonal.sizes[VOCAB], interval)


def share_by_length(norm: np.ndarray, n_channels: int, bins: int = 1000) -> float:
    """The share expected on the diagonal of W Wᵀ if directions were random and lengths as they are.

    A vector x is called away by a longer one, y, if their cosine exceeds |x| / |y|. From the distribution of
    the cosine of random directions (see `chance_cosine`), lengths standing for ``bins`` quantiles of theirs.
    """
    length = np.quantile(norm, (np.arange(bins) + 0.5) / bins)
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.nan_to_num(np.minimum(length[:, None] / length, 1), nan=1.0)
        stays = np.log1p(-stats.beta.sf(least**2, 0.5, (n_channels - 1) / 2) / 2)
    return float(np.exp(len(norm) * stays.mean(1)).mean())


def share_by_frequency(on_diagonal: xr.DataArray, count: xr.DataArray, interval: float) -> xr.Dataset:
    """The same among tokens of similar counts: ``share_by_band`` with interval and n (variant, band).

    Bands are decades of the count, and tokens that never occur; only those that some token is in. Tokens
    that are not counted (NaN) are left out.
    """
    decade = np.floor(np.log10(count.where(count > 0))).fillna(-1).where(count.notnull())
    each = []
    for at in np.unique(decade.dropna(VOCAB)).astype(int):
        within = on_diagonal.isel({VOCAB: decade.values == at})
        share = _proportion("share_by_band", within.sum(VOCAB), within.sizes[VOCAB], interval)
        name = "never" if at < 0 else f"{10**at:,} to {10 ** (at + 1) - 1:,}"
        each.append(share.expand_dims({BAND: [name]}))
    return xr.concat(each, dim=BAND, join="exact").transpose(VARIANT, BAND, ...)


def _proportion(name: str, k: xr.DataArray, n: int, interval: float) -> xr.Dataset:
    if not n:
        nothing = k * np.nan
        return xr.Dataset({name: nothing, f"{name}_low": nothing, f"{name}_high": nothing, f"{name}_n": 0})
    low, high = proportion_confint(k.values, n, alpha=1 - interval, method="wilson")
    if not enough(n):
        low, high = np.full_like(low, np.nan), np.full_like(high, np.nan)
    ends = {name: k / n, f"{name}_low": k.copy(data=low), f"{name}_high": k.copy(data=high)}
    return xr.Dataset(ends).assign({f"{name}_n": n})


# Exceptions ---------------------------------------------------------------------------------


def kinds_of_exceptions(called: xr.Dataset, shuffles: int, interval: float, seed: int) -> xr.Dataset:
    """How many exceptions are of each kind (`strata.embedding.spelling`), and how many would be by chance.

    For chance, what the exceptions call for is shuffled among them: a kind beyond it is a matter of the two
    tokens, not of one that attracts whatever comes.

    Returns
    -------
    Dataset
        ``kind_count`` (variant, kind); ``kind_share`` of the exceptions with interval (Wilson) and
        ``kind_share_n``; ``chance_share``, ``chance_low``, ``chance_high``: mean and central ``interval``
        over shuffles. NaN without exceptions.
    """
    names = called[TOKEN_STR].values
    rng = generator(seed)
    each = []
    for variant in called[VARIANT].values:
        at = called.sel({VARIANT: variant})
        row = np.flatnonzero(~at["on_diagonal"].values)
        other = at["other_row"].values[row]
        dealt = np.array([_count_kinds(names, row, deal) for deal in permuted(rng, other, shuffles)])
        chance = dealt / len(row) if len(row) else np.full(dealt.shape, np.nan)
        low, high = percentiles(chance, interval, axis=0)
        count = xr.DataArray(_count_kinds(names, row, other), dims=KIND, coords={KIND: list(KINDS)})
        part = _proportion("kind_share", count, len(row), interval).assign(
            kind_count=count,
            chance_share=(KIND, chance.mean(0)),
            chance_low=(KIND, low),
            chance_high=(KIND, high),
        )
        each.append(part)
    return xr.concat(each, dim=called[VARIANT], join="exact", coords="minimal")


def _count_kinds(names: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    kinds = [KINDS.index(relation(names[a], names[b])) for a, b in zip(rows, others, strict=True)]
    return np.bincount(kinds, minlength=len(KINDS))


# What attracts ------------------------------------------------------------------------------


def attraction(called: xr.Dataset, bootstrap: Bootstrap) -> xr.Dataset:
    """Are the tokens that others call for the long ones?

    Returns
    -------
    Dataset
        ``norm_rank`` (variant, vocab): of ``key_norm``, 1 the longest, the mean of ranks where several tie;
        ``attractor_percentile`` (variant): the mean share of tokens that are shorter than one that attracts
        any, with interval over those that do and ``attractor_percentile_n``. NaN if none
        does. It would be 0.5 if length played no part; but it does even where directions are random, as
        a longer vector scores higher. Under the raw embedding each exception calls for a longer vector
        than its own, as x·y > x·x asks for |y| > |x|.
    """
    n = called.sizes[VOCAB]
    rank = xr.apply_ufunc(stats.rankdata, -called["key_norm"], kwargs={"axis": -1})
    shorter = ((n - rank) / max(n - 1, 1)).values
    each = []
    for attracted, share in zip(called["attracted"].transpose(VARIANT, VOCAB).values, shorter, strict=True):
        each.append(bootstrap.estimate("attractor_percentile", np.mean, share[attracted > 0]))
    together = xr.concat(each, dim=called[VARIANT], join="exact")
    return together.assign(norm_rank=rank)


# Neighbours ---------------------------------------------------------------------------------


def nearest_neighbours(
    embedding: np.ndarray, mean: np.ndarray, k: int, interval: float, **tile
) -> xr.Dataset:
    """The ``k`` nearest other tokens by cosine, raw and about their mean.

    Returns
    -------
    Dataset
        ``neighbour_row``, ``neighbour_cosine`` (centring, vocab, k); ``above_chance`` (centring), the share
        of tokens whose nearest is nearer than `chance_cosine`, with interval (Wilson) and n, and
        ``chance_cosine``. Where directions are random, 1 in 100 are above it.
    """
    centre = torch.from_numpy(mean.astype("float32")).to(tile.get("device", "cpu"))
    treatments = {RAW: normalize, CENTRED: lambda rows: normalize(rows - centre)}
    chance = chance_cosine(*embedding.shape)
    each = []
    for of_rows in treatments.values():
        others, cosine, _ = Scores(embedding, embedding, of_rows, of_rows).best_others(k, **tile)
        part = xr.Dataset(
            {
                "neighbour_row": ((VOCAB, K), others.astype("int32")),
                "neighbour_cosine": ((VOCAB, K), cosine.clip(-1, 1).astype("float32")),
            }
        )
        near = (part["neighbour_cosine"].isel({K: 0}) > chance).sum()
        each.append(part.merge(_proportion("above_chance", near, len(embedding), interval)))
    together = xr.concat(each, dim=named(CENTRING, treatments), join="exact")
    return together.assign(chance_cosine=chance)


def chance_cosine(n: int, n_channels: int, quantile: float = CHANCE_QUANTILE) -> float:
    """The cosine that the nearest of ``n - 1`` random directions stays below with probability ``quantile``.

    From the exact distribution: the square of the cosine of two random directions is Beta(1/2, (c - 1)/2).
    """
    above = -np.expm1(np.log(quantile) / (n - 1))
    return float(np.sqrt(stats.beta.isf(2 * above, 0.5, (n_channels - 1) / 2)))
