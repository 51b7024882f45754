"""Are later tokens easier to predict when states before them are moved towards what came next?

Late states of a position hold a guess of the next token, and later positions attend to it even where it was
wrong. The logit lens's author thought of sampling so that they do not: when the next token is known, the late
states of the position before it are moved towards its embedding. Here a state h of a held-out document
becomes (1 - share) h + share |h| e, where e is the embedding of the true next token, of length 1: embeddings
as they are would vanish beside late states, which are many times longer. The loss of the tokens that follow
the next one is compared with that of the unmixed run; moved towards another token's embedding instead,
it says what becomes of it by disturbance alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, product

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize
from transformers import DynamicCache

from strata.lens.names import AHEAD, APPLIED, GUESSED, PLACE, SHARE, TOWARDS
from strata.model.architecture import Parts, Past
from strata.model.batching import check_lengths
from strata.model.capture import watching
from strata.names import DEPTH, DOCUMENT, POSITION
from strata.progress import Progress, silent
from strata.stats.bootstrap import Bootstrap
from strata.stats.groups import cluster_means, each
from strata.stats.seeding import generator

ONCE, ONWARDS = WAYS = ("once", "onwards")
NEXT, RANDOM = TOKENS = ("next", "random")
RIGHT, WRONG = GUESSES = ("right", "wrong")

TILE_VALUES = 2**24
"""Logits held at once (64 MB)."""


@dataclass(frozen=True)
class Place:
    """Where a state is mixed: a position of a document. ``other``: the token that stands in for the next."""

    document: int
    position: int
    other: int


def draw_places(documents: Sequence[Sequence[int]], positions: int, horizon: int, seed: int) -> list[Place]:
    """Draw positions of each document evenly, and another token than the next for each.

    The first position, where attention has its sink, is never drawn, nor is any without a next token and
    ``horizon`` others behind that. Other tokens are drawn as often as they occur in the documents.

    Parameters
    ----------
    documents : token ids
    positions : of a document, at most

    Raises
    ------
    ValueError
        If no document is long enough.
    """
    rng = generator(seed, "mixing")
    tokens = np.concatenate([document[1:] for document in documents])
    places = []
    for number, document in enumerate(documents):
        possible = np.arange(1, len(document) - 1 - horizon)
        chosen = rng.choice(possible, min(positions, len(possible)), replace=False) if len(possible) else []
        for position in sorted(chosen):
            others = tokens[tokens != document[position + 1]]
            if len(others):
                places.append(Place(number, int(position), int(rng.choice(others))))
    if not places:
        raise ValueError(f"no document has {horizon + 3} tokens and another than the next among them")
    return places


def some_depths(n_layers: int, n: int) -> list[int]:
    """``n`` depths in equal steps from 0 to L-1, or all these; a state at depth L reaches no token."""
    return np.unique(np.linspace(n_layers - 1, 0, min(n, n_layers)).round().astype(int)).tolist()


@dataclass(frozen=True)
class _Runs:
    """Runs that go through the model together, by depth, the unmixed one first.

    (run) each: ``depth`` from which on states are mixed, whether at every later depth too, the index of the
    embedding, and the share.
    """

    depth: Tensor
    onwards: Tensor
    towards: Tensor
    share: Tensor

    @classmethod
    def of(cls, depths: Sequence[int], shares: Sequence[float], device: torch.device) -> "_Runs":
        """Every combination; the unmixed run has share 0."""
        every = [(0, False, 0, 0.0), *product(depths, (False, True), range(len(TOKENS)), map(float, shares))]
        return cls(*(torch.tensor(column, device=device) for column in zip(*every, strict=True)))


@torch.inference_mode()
def losses(
    parts: Parts,
    documents: Sequence[Sequence[int]],
    places: Sequence[Place],
    *,
    depths: Sequence[int],
    shares: Sequence[float],
    horizon: int,
    progress: Progress = silent,
) -> xr.Dataset:
    """Losses behind each place, and their change where the state there is mixed.

    ``once``: the state at that depth is mixed, and the blocks that follow make of it what they do.
    ``onwards``: so is every state from that depth to the last block, each as the unmixed run has it, which
    is what a sampler could do to states that are computed already.

    Parameters
    ----------
    documents : token ids
    places : those of a document in a row
    depths : from which on states are mixed, in order, each in 0..L-1
    shares : of the embedding, in 0..1
    horizon : tokens whose loss is measured, those after the next one

    Returns
    -------
    Dataset
        ``loss`` (place, ahead), nat, of the token so many after the next; ``change`` (place, depth, applied,
        towards, share, ahead), nat, against it; ``right`` (place), whether the next token was the first
        guess. Coordinates ``document``, ``position`` (place).
    """
    runs = _Runs.of(depths, shares, parts.device)
    shape = (len(depths), len(WAYS), len(TOKENS), len(shares), horizon)
    loss, change = np.empty((len(places), horizon)), np.empty((len(places), *shape))
    right = np.empty(len(places), bool)
    check_lengths(parts.model, [*map(len, documents)])
    by_document = groupby(range(len(places)), lambda index: places[index].document)
    for number, indices in progress([(n, list(own)) for n, own in by_document], "documents"):
        ids = torch.tensor(documents[number], device=parts.device)
        entered, keys_and_values = _clean(parts, ids)
        for index in indices:
            place = places[index]
            start, end = place.position, place.position + 1 + horizon
            pasts = [Past(keys[:, :, :start], values[:, :, :start]) for keys, values in keys_and_values]
            tokens = torch.stack([ids[start + 1], ids.new_tensor(place.other)])
            states = _final_states(parts, runs, entered[start:end], pasts, start, tokens)
            found = _losses(parts, states[:, 1:], ids[start + 2 : end + 1])
            loss[index] = found[0].cpu()
            change[index] = (found[1:] - found[0]).view(shape).cpu()
            right[index] = bool(parts.logits(states[0, 0]).argmax() == ids[start + 1])
    dims = (DEPTH, APPLIED, TOWARDS, SHARE, AHEAD)
    return xr.Dataset(
        {"loss": ((PLACE, AHEAD), loss), "change": ((PLACE, *dims), change), "right": (PLACE, right)},
        coords={
            DEPTH: list(depths),
            APPLIED: list(WAYS),
            TOWARDS: list(TOKENS),
            SHARE: list(shares),
            AHEAD: np.arange(1, horizon + 1),
            DOCUMENT: (PLACE, [place.document for place in places]),
            POSITION: (PLACE, [place.position for place in places]),
        },
    )


def _clean(parts: Parts, ids: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """What enters block 0 (position, channel) of a document, and keys and values of every layer."""
    entered: list[Tensor] = []

    def see(depth: int, state: Tensor) -> None:
        if depth == 0:
            entered.append(state[0].clone())

    cache = DynamicCache()
    with watching(parts, resid=see):
        parts.model.base_model(input_ids=ids[None], past_key_values=cache, use_cache=True)
    return entered[0], [(layer.keys, layer.values) for layer in cache.layers]


def _final_states(
    parts: Parts, runs: _Runs, window: Tensor, pasts: Sequence[Past], start: int, tokens: Tensor
) -> Tensor:
    """States before the final norm, (run, position, channel), where those at the first position are mixed.

    ``window`` (position, channel) enters block 0 from position ``start`` on; ``pasts`` (layer) are before
    it; ``tokens`` are those towards whose embeddings states are moved.
    """
    embeddings = parts.token_embedding(tokens)
    if parts.project_in is not None:
        embeddings = parts.project_in(embeddings)
    directions = normalize(embeddings.float(), dim=-1).to(window.device)[runs.towards]
    carried = window.expand(len(runs.depth), -1, -1).clone()
    for layer in range(parts.n_layers):
        unmixed, entering = carried[0].clone(), runs.depth == layer
        carried[entering] = unmixed
        moved = entering | runs.onwards & (runs.depth < layer)
        state = unmixed[0].float()
        mixed = torch.lerp(state.expand_as(directions), state.norm() * directions, runs.share[:, None])
        carried[moved, 0] = mixed[moved].to(carried)
        some = slice(int((runs.depth <= layer).sum()))
        carried[some] = parts.run_block(layer, carried[some], start, pasts[layer])
    return carried


def _losses(parts: Parts, states: Tensor, following: Tensor) -> Tensor:
    """Losses (run, position), nat, of what follows each position of final states (run, position, channel)."""
    size = max(1, TILE_VALUES // (len(following) * parts.unembedding.out_features))
    found = []
    for some in states.split(size):
        logits = parts.logits(some).flatten(0, 1).float()
        found.append(cross_entropy(logits, following.repeat(len(some)), reduction="none").view(len(some), -1))
    return torch.cat(found)


def measure(
    parts: Parts,
    documents: Sequence[Sequence[int]],
    *,
    shares: Sequence[float],
    depths: int,
    positions: int,
    horizon: int,
    resamples: int,
    interval: float,
    seed: int,
    progress: Progress = silent,
) -> xr.Dataset:
    """What mixing does to the loss of the tokens that follow the next one, by depth and share.

    A guess is right where the true next token was the model's first one, in the unmixed run. A document's
    value is the mean over its places and their following tokens; intervals come from resampling documents.

    Parameters
    ----------
    documents : token ids of held-out documents
    shares : of the embedding, in 0..1
    depths : how many, see `some_depths`
    positions, horizon : see `draw_places`
    resamples, interval, seed : see `Bootstrap`; ``seed`` draws places and tokens too

    Returns
    -------
    Dataset
        By (guessed, applied, towards, share, depth): ``change``, nat a token. By all these but ``towards``:
        ``beyond_random``, the change towards the next token less that towards another. By guessed: ``loss``
        of the unmixed run, nat a token. Each with ``_low``, ``_high`` and ``_n`` (documents). ``n_places``
        (guessed). ``applied`` is ``once`` or ``onwards``, see `losses`, ``towards`` ``next`` or ``random``.

    Raises
    ------
    ValueError
        If no document is long enough, or a share or number is impossible.
    """
    if min(positions, horizon, depths) < 1 or not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"impossible: {shares=}, {depths=}, {positions=}, {horizon=}")
    places = draw_places(documents, positions, horizon, seed)
    at = {"depths": some_depths(parts.n_layers, depths), "shares": shares, "horizon": horizon}
    found = losses(parts, documents, places, **at, progress=progress).mean(AHEAD)
    change = found["change"].transpose(PLACE, APPLIED, TOWARDS, SHARE, DEPTH)
    beyond = change.sel({TOWARDS: NEXT}) - change.sel({TOWARDS: RANDOM})
    bootstrap = Bootstrap(resamples, interval, seed)

    def after(guess: str) -> xr.Dataset:
        some = found["right"].values == (guess == RIGHT)

        def estimate(name: str, values: xr.DataArray) -> xr.Dataset:
            by_document = cluster_means(values.values[some], found[DOCUMENT].values[some])
            return bootstrap.estimate(name, np.mean, np.moveaxis(by_document, 0, -1), dims=values.dims[1:])

        parts_of_it = [
            estimate("change", change),
            estimate("beyond_random", beyond),
            estimate("loss", found["loss"]),
        ]
        return xr.merge(parts_of_it).assign(n_places=int(some.sum()))

    result = each(GUESSED, GUESSES, after)
    coordinates = {dim: found[dim].values for dim in (APPLIED, TOWARDS, SHARE, DEPTH)}
    return result.assign_coords(coordinates).assign_attrs(interval=interval, horizon=horizon)
