"""Attention over many texts, from a model: on the first token, by distance, and as content varies.

Attention variability is Vig and Belinkov's (2019): how much a head looks at content rather than at positions.
Channels with outsized values at the first position serve attention as a place to rest (Xiao et al. 2023; Sun
et al. 2024): their size is measured here, and `strata.attention.outsized` finds them.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from strata.attention.by_distance import ByDistance
from strata.attention.names import HEAD_CHOICES, HEADS
from strata.attention.onset import onset_and_release
from strata.attention.precision import as_float32
from strata.model.architecture import Parts
from strata.model.batching import batches
from strata.model.capture import watching
from strata.names import CHANNEL, DEPTH, HEAD, LAYER
from strata.progress import Progress, silent
from strata.stats.bootstrap import Bootstrap


@torch.inference_mode()
def over_text(
    parts: Parts,
    documents: Sequence[Sequence[int]],
    skip: int,
    bootstrap: Bootstrap,
    progress: Progress = silent,
    max_tokens: int = 2048,
) -> xr.Dataset:
    """Sums over texts: attention on the first token and on all by distance, its entropy, channels' sizes.

    Documents of like length go through the model together, and of what a layer computes only sums are kept:
    memory is that of one batch's attention in one layer, and of two numbers for every head and document.

    Parameters
    ----------
    documents : token ids, each no longer than the model's context
    skip : positions left out of the means over positions: a short text has nowhere else to look
    bootstrap : over documents
    max_tokens : of a batch, unless one document alone has more

    Returns
    -------
    Dataset, float32
        Means over all tokens from position ``skip`` on, each x with its interval ``x_low``, ``x_high``:
        ``first_in_text`` (layer, head), attention on the first token, and ``entropy_in_text`` (layer,
        head), entropy as a share of its largest possible value; ``first_of_heads_in_text`` (heads, layer),
        the former's mean over a layer's heads, and of whichever attends the most; ``onset_in_text`` and
        ``release_in_text`` (heads) of that, see `strata.attention.onset.onset_and_release`, beyond its
        share if attention were spread evenly.
        ``n_documents_in_text``, those that are longer than ``skip``, and ``n_tokens_in_text``.
        By (depth, channel): ``magnitude_first``, mean |h| at position 0, and
        ``magnitude_others``, at all others. What `strata.attention.by_distance.ByDistance.result` has.

    Raises
    ------
    ValueError
        If no document is longer than ``skip`` tokens, or ``skip`` is below 1.
    """
    longest = max(map(len, documents), default=0)
    if not 1 <= skip < longest:
        raise ValueError(f"skip is at least 1 and below the longest document's {longest} tokens, not {skip}")
    n_layers, n_heads = parts.n_layers, parts.n_heads
    device = parts.device
    double = {"dtype": torch.float64, "device": device}
    first, entropy = torch.zeros(2, n_layers, n_heads, len(documents), **double)
    largest_entropy = torch.arange(1, longest + 1, **double).log()
    magnitude = torch.zeros(2, n_layers + 1, parts.n_channels, **double)
    lengths = [*map(len, documents)]
    by_distance = ByDistance(parts, lengths, skip)

    def see_pattern(layer: int, patterns: Tensor) -> None:
        present = batch.present[:, None]  # (row, 1, query): what is in the padding attends to nothing
        late, present = patterns[:, :, skip:], present[..., skip:]
        first[layer][:, batch.which] = (late[..., 0].double() * present).sum(-1).T
        entropies = torch.special.entr(late.float()).sum(-1) * present
        largest = largest_entropy[skip : patterns.shape[-1]]
        entropy[layer][:, batch.which] = (entropies / largest).sum(-1).T
        by_distance.see_pattern(layer, patterns, batch.present, batch.which)

    def see_read(layer: int, states: Tensor) -> None:
        by_distance.see_read(layer, states, batch.present)

    def see_state(depth: int, states: Tensor) -> None:
        size = states.abs().double() * batch.present[..., None]
        magnitude[0, depth] += size[:, 0].sum(0)
        magnitude[1, depth] += size[:, 1:].sum((0, 1))

    with watching(parts, attention_in=see_read, attention=see_pattern, resid=see_state):
        for batch in progress(batches(documents, max_tokens, parts), "batches of documents"):
            parts.model.base_model(input_ids=batch.ids, use_cache=False)

    long_enough = np.flatnonzero(np.array(lengths) > skip)
    late = [1 / np.arange(skip + 1, lengths[index] + 1) for index in long_enough]
    n_late, even = (np.array([reduce(shares) for shares in late], float) for reduce in (len, np.sum))
    of_first, of_entropy = (sums[..., long_enough].cpu().numpy() for sums in (first, entropy))
    at_first, at_others = magnitude.cpu().numpy()
    n_others = sum(lengths) - len(documents)
    found = xr.Dataset(
        {
            "n_documents_in_text": len(late),
            "n_tokens_in_text": int(n_late.sum()),
            "magnitude_first": ((DEPTH, CHANNEL), at_first / len(documents)),
            "magnitude_others": ((DEPTH, CHANNEL), at_others / n_others),
        },
        coords={
            LAYER: np.arange(n_layers),
            HEAD: np.arange(n_heads),
            DEPTH: np.arange(n_layers + 1),
            CHANNEL: np.arange(at_first.shape[1]),
            HEADS: list(HEAD_CHOICES),
        },
        attrs={"skip": skip},
    )
    means = _means_with_intervals(of_first, of_entropy, n_late, even, bootstrap)
    return as_float32(found.merge(means, join="exact").merge(by_distance.result(bootstrap), join="exact"))


def _means_with_intervals(
    first: np.ndarray, entropy: np.ndarray, n: np.ndarray, even: np.ndarray, bootstrap: Bootstrap
) -> xr.Dataset:
    """Means over tokens of sums (layer, head, document), of ``n`` tokens each (document).

    ``even`` (document): the sums of attention on the first token, if attention were spread evenly.
    """
    shape = first.shape[:2]

    def with_interval(name: str, statistic: Callable, sums: np.ndarray, dims: tuple[str, ...]) -> xr.Dataset:
        """Documents are drawn with all that is summed over them: each is a column of one array."""
        columns = np.vstack([sums.reshape(-1, len(n)), even, n])

        def of_columns(columns: np.ndarray, axis: int) -> np.ndarray:
            total = columns.sum(axis)
            *means, even = total[:-1] / total[-1]
            return statistic(np.reshape(means, (*shape, *total.shape[1:])), even)

        return bootstrap.estimate(name, of_columns, columns, dims=dims).drop_vars(f"{name}_n")

    def mean(name: str, sums: np.ndarray) -> xr.Dataset:
        return bootstrap.of_totals(name, sums, n, (LAYER, HEAD)).drop_vars(f"{name}_n")

    def by_heads(share: np.ndarray, even: np.ndarray) -> np.ndarray:
        return np.stack([share.mean(1), share.max(1)])

    def onset(share: np.ndarray, even: np.ndarray, end: int = 0) -> np.ndarray:
        return np.stack([onset_and_release(heads - even)[end] for heads in by_heads(share, even)])

    return xr.merge(
        [
            mean("first_in_text", first),
            mean("entropy_in_text", entropy),
            with_interval("first_of_heads_in_text", by_heads, first, (HEADS, LAYER)),
            with_interval("onset_in_text", onset, first, (HEADS,)),
            with_interval("release_in_text", partial(onset, end=1), first, (HEADS,)),
        ]
    )


@torch.inference_mode()
def variability(
    parts: Parts,
    documents: Sequence[Sequence[int]],
    n_first: int = 10,
    batch: int = 64,
    progress: Progress = silent,
) -> xr.Dataset:
    """How much each head's attention varies with content at the same positions.

    Attention variability of Vig and Belinkov 2019 ("Analyzing the Structure of Attention in a Transformer
    Language Model"), the mean absolute deviation scaled to lie between 0 and 1:

        sum_x sum_i sum_(j <= i) |a_ij(x) - mean_x a_ij| / (2 sum_x sum_i sum_(j <= i) a_ij(x))

    where a_ij(x) is how much position i of text x attends to position j. 0: the head looks at positions,
    whatever stands there. Only the first positions are taken, so that each has enough texts. They leave
    out attention on the first token, where a head rests that finds nothing; both are given here.

    Parameters
    ----------
    documents : token ids; those with fewer than ``n_first`` tokens are left out
    n_first : positions, 10 in the paper
    batch : documents at a time

    Returns
    -------
    Dataset, float32
        ``variability`` and ``variability_beyond_first`` (layer, head), the latter over j > 0, NaN where
        nothing is attended to there; ``n_texts``.

    Raises
    ------
    ValueError
        If fewer than two documents are long enough, or ``n_first`` is below 2.
    """
    device = parts.device
    texts = torch.tensor([d[:n_first] for d in documents if len(d) >= n_first], device=device)
    if n_first < 2 or len(texts) < 2:
        raise ValueError(
            f"{len(texts)} documents have {n_first} tokens; two documents and two tokens are needed"
        )
    shape = (parts.n_layers, parts.n_heads, n_first, n_first)
    total, deviation = torch.zeros(2, *shape, dtype=torch.float64, device=device)

    def add(layer: int, patterns: Tensor) -> None:
        total[layer] += patterns.float().sum(0)

    def deviate(layer: int, patterns: Tensor) -> None:
        mean = (total[layer] / len(texts)).float()
        deviation[layer] += (patterns.float() - mean).abs().sum(0)

    # The mean has to be known before anything can deviate from it.
    for see, what in ((add, "mean attention"), (deviate, "deviations")):
        with watching(parts, attention=see):
            for rows in progress(texts.split(batch), what):
                parts.model.base_model(input_ids=rows, use_cache=False)

    def ratio(first_key: int) -> np.ndarray:
        varying, all_of_it = (x[..., first_key:].sum((-1, -2)) for x in (deviation, total))
        return (varying / (2 * all_of_it)).cpu().numpy()

    return as_float32(
        xr.Dataset(
            {
                "variability": ((LAYER, HEAD), ratio(0)),
                "variability_beyond_first": ((LAYER, HEAD), ratio(1)),
                "n_texts": len(texts),
            },
            coords={LAYER: np.arange(shape[0]), HEAD: np.arange(shape[1])},
            attrs={"n_first": n_first},
        )
    )
