"""Are the embeddings of tokens that are out of the question put to other use in the middle?

A direction that stands for a token which cannot come next is free: the stream might carry something else
along it, to be cleared away before the end. Then the states of middle depths would have more energy in the
span of such tokens' embeddings than in a subspace of that size taken at random.

At the last depth a state points *away* from them by construction, since their logits are its products with
the (final norm's and) unembedding's rows. Energy is blind to the sign and may exceed the baseline there for
that reason alone, so the signed cosine is given too.
"""

from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import normalize

from strata.lens.names import STATE
from strata.model.readout import LogitDecoder
from strata.names import DEPTH, PROMPT, TOKEN, TOKEN_SET
from strata.progress import Progress, silent
from strata.stats.draws import interval_of_mean
from strata.stats.seeding import generator

UNLIKELY, LIKELY, RANDOM = SETS = ("unlikely", "likely", "random")
WHOLE, CENTRED = STATES = ("whole", "centred")

PIECE_VALUES = 2**24
"""Of states that are read at once: 64 MB."""


def token_sets(logits: Tensor, m: int, generator: torch.Generator) -> Tensor:
    """The m least likely tokens, the m most likely, and m at random, all different.

    Parameters
    ----------
    logits : (token, vocab)
    m : at most half of the vocabulary
    generator : of the random ones

    Returns
    -------
    Tensor (set, token, m), in the order of `SETS`
    """
    chance = torch.rand(logits.shape, generator=generator).to(logits.device)
    scores = (-logits, logits, chance)
    return torch.stack([score.topk(m, dim=-1, sorted=False).indices for score in scores])


def along(states: Tensor, embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Energy of states in the span of some embeddings, and how far they point to these on average.

    Parameters
    ----------
    states : (..., token, channel)
    embeddings : (token, m, channel)

    Returns
    -------
    energy : (..., token), |Qᵀh|² / |h|² in 0..1, Q an orthonormal basis of the span
    cosine : (..., token), mean over the m of the cosine of state and embedding
    """
    states = normalize(states, dim=-1)
    basis = torch.linalg.qr(embeddings.mT).Q
    inside = torch.einsum("tcm,...tc->...tm", basis, states)
    direction = normalize(embeddings, dim=-1).mean(1)
    return inside.square().sum(-1), (states * direction).sum(-1)


def analyse(
    resid: xr.DataArray,
    facts: Mapping[str, str],
    decoder: LogitDecoder,
    embedding: np.ndarray,
    *,
    m: int | None = None,
    max_tokens: int,
    resamples: int,
    interval: float,
    seed: int,
    tile: int = 128,
    progress: Progress = silent,
) -> xr.Dataset:
    """Energy of hidden states along the embeddings of unlikely, likely and random tokens, by depth.

    States are taken whole, and centred about the mean state of their depth: that mean is most of a state
    in some models, and the same whatever is unlikely. A prompt's value is the mean over its tokens;
    averages are over prompts, and intervals come from drawing again what prompts ask.

    Parameters
    ----------
    resid : (depth, token, channel), the last depth entering the final norm; with ``prompt`` (token)
    facts : by prompt, the name of what it asks
    decoder : the model's own final norm and unembedding
    embedding : (vocab, channel)
    m : tokens in a set, an eighth of the channels if not given
    max_tokens : drawn evenly where there are more
    resamples, interval : of the bootstrap over facts; ``interval`` is a coverage, e.g. 0.95
    seed : of all that is drawn
    tile : tokens at a time

    Returns
    -------
    Dataset
        By (token_set, state, depth), where the set is ``unlikely`` (lowest final logits), ``likely``
        (highest) or ``random``, and the state ``whole`` or ``centred``: ``energy`` and ``cosine`` of
        `along`, with ``_low`` and ``_high`` (NaN for few prompts). ``p_unlikely_median``,
        ``p_unlikely_95``, ``p_unlikely_max``: the median, 95th percentile and maximum over tokens of the
        largest probability among the unlikely. ``random_subspace``: m / channels, the mean energy in a
        Gaussian subspace of m dimensions. ``m``, ``n_tokens``, ``n_prompts``.

    Raises
    ------
    ValueError
        If m is not below the number of channels and within half of the vocabulary, or another argument
        is impossible.
    """
    vocab, n_channels = embedding.shape
    m = max(1, n_channels // 8) if m is None else m
    if not 0 < m < n_channels or 2 * m > vocab:
        raise ValueError(f"m is in 1..{min(n_channels - 1, vocab // 2)}, not {m}")
    if min(resamples, max_tokens, tile) < 1 or not 0 < interval < 1:
        raise ValueError(f"impossible: {resamples=}, {max_tokens=}, {tile=}, {interval=}")
    rng = generator(seed)
    n_tokens = min(max_tokens, resid.sizes[TOKEN])
    rows = np.sort(rng.choice(resid.sizes[TOKEN], n_tokens, replace=False))
    device = decoder.unembedding.device
    resid = resid.transpose(DEPTH, TOKEN, ...)
    # Slices of all tokens, not each one by itself, are what a file gives out fast.
    starts = range(0, resid.sizes[TOKEN], piece := max(1, PIECE_VALUES // resid[:, 0].size))
    within = np.split(rows, np.searchsorted(rows, starts[1:]))
    pieces = [
        resid.isel({TOKEN: slice(start, start + piece)}).values[:, own - start]
        for start, own in zip(starts, within, strict=True)
    ]
    states = torch.from_numpy(np.concatenate(pieces, axis=1)).float().to(device)
    means = states.mean(1, keepdim=True)
    embeddings = torch.from_numpy(embedding).float().to(device)

    torch_generator = torch.Generator().manual_seed(seed)
    measures = np.empty((2, len(SETS), len(STATES), *states.shape[:2]), np.float32)
    p_unlikely = np.empty(n_tokens, np.float32)
    for start in progress(range(0, n_tokens, tile), "embeddings of unlikely tokens"):
        now = slice(start, start + tile)
        logits = decoder.logits(states[-1, now])
        both = torch.stack([states[:, now], states[:, now] - means])
        chosen = token_sets(logits, m, torch_generator)
        for kind, ids in enumerate(chosen):
            measures[:, kind, ..., now] = torch.stack(along(both, embeddings[ids])).cpu().numpy()
        largest = logits.log_softmax(-1).gather(-1, chosen[SETS.index(UNLIKELY)]).amax(-1)
        p_unlikely[now] = largest.exp().cpu().numpy()

    prompts, by_prompt = _prompt_means(measures, resid[PROMPT].values[rows])
    mean, kin = by_prompt.mean(-1), np.array([facts[prompt] for prompt in prompts])
    low, high = interval_of_mean(by_prompt, resamples, interval, rng, kin)
    dims = (TOKEN_SET, STATE, DEPTH)
    fields = {}
    for i, name in enumerate(("energy", "cosine")):
        fields |= {name: (dims, mean[i]), f"{name}_low": (dims, low[i]), f"{name}_high": (dims, high[i])}
    for name, share in (("median", 0.5), ("95", 0.95), ("max", 1)):
        fields[f"p_unlikely_{name}"] = np.quantile(p_unlikely, share)
    fields |= {"random_subspace": m / n_channels, "m": m, "n_tokens": n_tokens, "n_prompts": len(prompts)}
    coordinates = {TOKEN_SET: list(SETS), STATE: list(STATES), DEPTH: resid[DEPTH].values.astype(float)}
    return xr.Dataset(fields, coordinates).assign_attrs(interval=interval)


def _prompt_means(measures: np.ndarray, prompts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The prompts, and means over the tokens (last axis) of each: (..., prompt)."""
    names, index = np.unique(prompts, return_inverse=True)
    to_prompt = np.zeros((len(index), len(names)))
    to_prompt[np.arange(len(index)), index] = 1 / np.bincount(index)[index]
    return names, measures @ to_prompt
