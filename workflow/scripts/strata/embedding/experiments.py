"""What a model loses when its position embedding is smoothed, or silenced in some channels.

The loss on held-out documents with a changed matrix, less the loss with the model's own, document by
document. What is noise in the matrix can be smoothed away, and what no part of the model reads can be
silenced, at no cost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from scipy.ndimage import gaussian_filter1d
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from strata.embedding import NO_POSITIONS
from strata.embedding.names import AVERAGED, HIGHEST, LOWEST, RANDOM, SMOOTHED, TREATMENT, ZEROED
from strata.model.batching import batches
from strata.names import ALL, CHANNEL_SET, KIND, POSITION
from strata.progress import Progress, silent
from strata.stats.bootstrap import Bootstrap
from strata.stats.seeding import generator

if TYPE_CHECKING:  # what needs no model starts without transformers
    from strata.model.architecture import Parts


@dataclass(frozen=True)
class Treatment:
    """A changed position matrix (position, channel), and how it was changed.

    ``channel_set`` is one of `CHANNEL_SETS` or all; ``width`` that of smoothing, NaN elsewhere; ``draw``
    tells random sets of channels apart.
    """

    kind: str
    channel_set: str
    n_channels: int
    width: float
    draw: int
    matrix: np.ndarray

    @property
    def name(self) -> str:
        """The same for draws that are averaged."""
        if self.kind == SMOOTHED:
            return f"{self.kind}, width {self.width:g}"
        return f"{self.kind}, {self.channel_set}, {self.n_channels}"


def smooth(matrix: np.ndarray, width: float) -> np.ndarray:
    """Each column convolved with a normal distribution of standard deviation ``width``, in positions.

    Beyond either end the end's value stands. Width 0 is the matrix itself.
    """
    return gaussian_filter1d(matrix, width, axis=0, mode="nearest") if width else matrix


def treatments(
    matrix: np.ndarray, upper: np.ndarray, widths: Sequence[float], draws: int, seed: int
) -> Iterator[Treatment]:
    """Every changed matrix of both experiments, one at a time.

    Silenced are the lower group's channels, and as many at random; and, if the upper group is smaller, as
    many of the lowest, at random, and of the upper group. All channels, for scale.

    Parameters
    ----------
    matrix : array (position, channel)
    upper : bool array (channel)
        The upper group (`strata.embedding.channels.split`).
    widths : of the smoothing, in positions
    draws : random sets of channels
    seed : of the draws
    """
    n_channels = matrix.shape[1]
    for width in widths:
        yield Treatment(SMOOTHED, ALL, n_channels, width, 0, smooth(matrix, width))
    order = np.argsort(matrix.std(0), kind="stable")
    rng = generator(seed)
    n_lower, n_upper = int((~upper).sum()), int(upper.sum())
    sets = [(ALL, 0, order)]
    for n in sorted({n_lower, min(n_lower, n_upper)} - {0}):
        sets.append((LOWEST, 0, order[:n]))
        sets += [(RANDOM, draw, rng.choice(n_channels, n, replace=False)) for draw in range(draws)]
        if n <= n_upper:
            sets.append((HIGHEST, 0, order[-n:]))
    for kind, values in ((ZEROED, np.zeros(n_channels)), (AVERAGED, matrix.mean(0))):
        for channel_set, draw, channels in sets:
            changed = matrix.copy()
            changed[:, channels] = values[channels]
            yield Treatment(kind, channel_set, len(channels), np.nan, draw, changed)


@torch.inference_mode()
def losses(
    parts: "Parts",
    documents: Sequence[Sequence[int]],
    matrix: np.ndarray | None = None,
    max_tokens: int = 1024,
) -> np.ndarray:
    """Loss in nats of the next token: (document, position), NaN beyond a document's last but one token.

    Documents of like length go through the model together (`strata.model.batching`).

    Parameters
    ----------
    documents : token ids, each no longer than the model's context
    matrix : array (position, channel), optional
        In the place of the position embedding. The model itself is not changed.
    max_tokens : of a batch, unless one document alone has more
    """
    model, changed = parts.model, {}
    if matrix is not None:
        own = parts.position_embedding.weight
        name = next(name for name, parameter in model.named_parameters() if parameter is own)
        changed = {name: torch.cat([own[: parts.position_offset], torch.from_numpy(matrix).to(own)])}
    result = np.full((len(documents), max(map(len, documents)) - 1), np.nan)
    for batch in batches(documents, max_tokens, parts):
        logits = functional_call(model, changed, (batch.ids,), {"use_cache": False}).logits
        following = batch.ids[:, 1:]
        # One row a token: along any other axis than the last, the loss takes several times as long.
        each = cross_entropy(logits[:, :-1].flatten(0, 1).float(), following.flatten(), reduction="none")
        each = each.view_as(following).cpu().numpy()
        for index, length, loss in zip(batch.which, batch.lengths, each, strict=True):
            result[index, : length - 1] = loss[: length - 1]
    return result


def disturb(
    parts: "Parts",
    documents: Sequence[Sequence[int]],
    upper: np.ndarray | None,
    *,
    widths: Sequence[float],
    draws: int,
    min_documents: int,
    resamples: int,
    interval: float,
    seed: int,
    progress: Progress = silent,
) -> xr.Dataset:
    """Change of loss under every treatment, by position and in all.

    Parameters
    ----------
    documents : token ids of held-out documents of two tokens or more
    upper, widths, draws
        See `treatments`; ``upper`` is None where the model has no position matrix.
    min_documents : int
        Positions that fewer documents reach are left out of what is by position; all have to reach them
        where there are no more.
    resamples, interval, seed
        Of the bootstrap over documents; ``seed`` also draws the channels.

    Returns
    -------
    Dataset
        In nats a token: ``loss`` (position) and ``loss_overall`` of the untouched model, ``change``
        (treatment, position) and ``change_overall`` (treatment), means over tokens, with intervals;
        ``n_documents`` (position), ``n_tokens``. Random sets of channels are averaged in each document;
        ``draws_lowest`` and ``draws_highest`` (treatment) are the least and the most that one draw
        changes in all. ``beyond_random`` (treatment), with interval: ``change_overall`` less that of random
        channels of the same number; NaN where there are none.
        Coordinates ``kind``, ``channel_set``, ``n_channels``, ``width`` (treatment). Where the model has no
        position matrix the result is empty, and the attribute ``position_embedding`` says so.
    """
    made = {"resamples": resamples, "interval": interval, "seed": seed, "min_documents": min_documents}
    if parts.position_embedding is None:
        return xr.Dataset(attrs={"position_embedding": NO_POSITIONS, **made})
    matrix = parts.position_rows.detach().float().cpu().numpy()
    untouched = losses(parts, documents)
    changes: dict[str, list[np.ndarray]] = {}
    kept: dict[str, Treatment] = {}
    for treatment in progress(treatments(matrix, upper, widths, draws, seed), "treatments"):
        kept[treatment.name] = treatment
        changed = losses(parts, documents, treatment.matrix) - untouched
        changes.setdefault(treatment.name, []).append(changed)

    each = {name: np.mean(drawn, axis=0) for name, drawn in changes.items()}
    of_draws = [[np.nanmean(c) for c in drawn] for drawn in changes.values()]
    beyond = [each[name] - each.get(_at_random(t), np.nan) for name, t in kept.items()]
    change, beyond = np.stack(list(each.values())), np.stack(beyond)
    n_documents = np.isfinite(untouched).sum(0)
    reached = n_documents >= min(min_documents, len(documents))
    bootstrap = Bootstrap(resamples, interval, seed)
    one, two = (TREATMENT,), (TREATMENT, POSITION)
    estimates = [
        _per_token("loss", untouched[:, reached], bootstrap, (POSITION,), by_position=True),
        _per_token("loss_overall", untouched, bootstrap, ()),
        _per_token("change", change[..., reached], bootstrap, two, by_position=True),
        _per_token("change_overall", change, bootstrap, one),
        _per_token("beyond_random", beyond, bootstrap, one),
    ]
    return xr.Dataset(
        {
            "draws_lowest": (TREATMENT, [min(d) for d in of_draws]),
            "draws_highest": (TREATMENT, [max(d) for d in of_draws]),
            "n_documents": (POSITION, n_documents[reached]),
            "n_tokens": int(n_documents.sum()),
        },
        coords={
            TREATMENT: list(kept),
            POSITION: np.flatnonzero(reached),
            KIND: (TREATMENT, [t.kind for t in kept.values()]),
            CHANNEL_SET: (TREATMENT, [t.channel_set for t in kept.values()]),
            "n_channels": (TREATMENT, [t.n_channels for t in kept.values()]),
            "width": (TREATMENT, [t.width for t in kept.values()]),
        },
        attrs={"position_embedding": "present", "draws": draws, **made},
    ).merge(xr.merge(estimates, join="exact"), join="exact")


def _at_random(treatment: Treatment) -> str | None:
    """The name of the control: the same done to as many channels at random."""
    compared = treatment.channel_set in (LOWEST, HIGHEST)
    return replace(treatment, channel_set=RANDOM).name if compared else None


def _per_token(
    name: str, values: np.ndarray, bootstrap: Bootstrap, dims: tuple[str, ...], by_position: bool = False
) -> xr.Dataset:
    """Mean over tokens of ``values`` (..., document, position), documents resampled; NaN is no token."""
    told = np.isfinite(values)
    sums, sizes = np.where(told, values, 0).swapaxes(-1, -2), told.astype(float).swapaxes(-1, -2)
    if not by_position:
        sums, sizes = sums.sum(-2), sizes.sum(-2)
    return bootstrap.of_totals(name, sums, sizes, dims)
