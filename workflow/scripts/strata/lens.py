"""The lens: what every depth would say if it were decoded now (nostalgebraist 2020).

Logits of all depths and tokens would not fit in memory, and reading them more than once costs more
than making them. So tokens are taken in tiles, the vocabulary in chunks; a chunk's logits come from
one matrix product into a buffer and are reduced at once into running maxima, sums, counts and top-k.
Only the two reference distributions of a tile (final depth, depth 0) are held whole.
"""

import logging
import shutil
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from strata.decoders import LogitDecoder
from strata.names import CATEGORY, DEPTH, K, POSITION, PROMPT, TARGET_ID, TOKEN, TOKEN_ID, TOKEN_STR

COMPILE_FROM = 2**31
"""Logits below which compiling (about 15 s) costs more than it saves."""


def read_out(
    resid: Tensor,
    decoder: LogitDecoder,
    input_ids: Tensor,
    target_ids: Tensor,
    top_k: int,
    tile: int = 16,
    chunk: int = 2048,
    compiled: bool | None = None,
    progress: Callable[[Iterable, str], Iterable] = lambda items, what: items,
) -> dict[str, Tensor]:
    """Decode every depth of every token.

    Parameters
    ----------
    resid : (depth, token, channel)
        The residual stream; depth 0 is the embedding, the last depth enters the final norm.
    input_ids, target_ids : (token)
        The token itself and the true next token, -1 where there is none.
    tile, chunk : int
        Tokens and vocabulary entries at a time; they bound memory and change nothing else.
    compiled : bool, optional
        Fuse the reduction with torch.compile. By default where there is a C++ compiler and enough
        work to repay it.

    Returns
    -------
    dict of tensors, logs in nats
        (depth, token, k): ``top_id``, ``top_logit``, ``top_logprob``. (depth, token): ``entropy``;
        ``kl_final`` = KL(final ‖ depth), ``kl_input`` = KL(input ‖ depth), where input is the
        depth-0 readout; ``rank_of_final``, ``rank_of_input``, ``rank_of_target``: how many other
        entries have a larger logit than the final top-1, the input token, the true next token (0 is
        the top; -1 where there is no target); ``logprob_final``, ``logprob_input``,
        ``logprob_target`` of the same.
    """
    n_depths, n_tokens, _ = resid.shape
    vocab = len(decoder.unembedding)
    if compiled is None:
        compiled = shutil.which("g++") is not None and n_depths * n_tokens * vocab >= COMPILE_FROM
    reduce = torch.compile(_reduce, dynamic=False) if compiled else _reduce
    logging.info("lens: %s reduction", "compiled" if compiled else "eager")

    tile = min(tile, n_tokens)
    buffers = [torch.empty(n_depths * tile, size) for size in {chunk, vocab % chunk} - {0}]
    results: dict[str, list[Tensor]] = {}
    for start in progress(range(0, n_tokens, tile), "tiles of tokens"):
        # The last tile is moved back to be as wide as the others: one shape to compile for.
        start = min(start, n_tokens - tile)
        part = slice(start, start + tile)
        fields = _read_tile(
            resid[:, part], decoder, input_ids[part], target_ids[part], top_k, buffers, chunk, reduce
        )
        for name, value in fields.items():
            results.setdefault(name, []).append(value)
    overlap = len(results["entropy"]) * tile - n_tokens
    return {
        name: torch.cat([*pieces[:-1], pieces[-1][:, overlap:]], dim=1) for name, pieces in results.items()
    }


def _read_tile(resid, decoder, input_ids, target_ids, top_k, buffers, chunk, reduce) -> dict[str, Tensor]:
    n_depths, n_tokens, _ = resid.shape
    weight, bias = decoder.unembedding, decoder.bias
    hidden = decoder.norm(resid)
    rows = hidden.reshape(n_depths * n_tokens, -1)

    references = torch.stack([hidden[-1], hidden[0]]).reshape(2 * n_tokens, -1)
    reference = torch.nn.functional.linear(references, weight, bias)
    final_ids = reference[:n_tokens].argmax(-1)
    logp = reference.log_softmax(-1).view(2, n_tokens, -1)
    p = logp.exp()
    negentropy = (p * logp).sum(-1)

    # A token's own logit may differ in the last bit from the one in the large product, so it is
    # left out of its own rank's count rather than compared with itself.
    ids = torch.stack([final_ids, input_ids, target_ids.clamp(min=0)])
    own = (hidden[:, None] * weight[ids]).sum(-1)
    own = own if bias is None else own + bias[ids]
    own = own.transpose(1, 2)

    maximum = rows.new_full((n_depths, n_tokens), -torch.inf)
    total, weighted = torch.zeros_like(maximum), torch.zeros_like(maximum)
    cross = rows.new_zeros(2, n_depths, n_tokens)
    above = torch.zeros(n_depths, n_tokens, 3, dtype=torch.int32)
    best = rows.new_full((n_depths, n_tokens, 0), -torch.inf)
    best_id = torch.zeros(n_depths, n_tokens, 0, dtype=torch.long)
    for first in range(0, len(weight), chunk):
        part = slice(first, min(first + chunk, len(weight)))
        width = part.stop - first
        buffer = next(b for b in buffers if b.shape[1] == width)
        torch.mm(rows, weight[part].T, out=buffer)
        logits = buffer.view(n_depths, n_tokens, width)
        if bias is not None:
            logits += bias[part]
        maximum, total, weighted, added, more = reduce(
            logits, p[:, :, part], own, ids - first, maximum, total, weighted
        )
        cross += added
        above += more
        top, at = logits.topk(min(top_k, width), dim=-1)
        best, order = torch.cat([best, top], -1).topk(min(top_k, best.shape[-1] + top.shape[-1]), dim=-1)
        best_id = torch.cat([best_id, at + first], -1).gather(-1, order)

    lse = maximum + total.log()
    own_logp = own - lse[..., None]
    missing = target_ids < 0
    return {
        "top_id": best_id,
        "top_logit": best,
        "top_logprob": best - lse[..., None],
        "entropy": lse - weighted / total,
        "kl_final": (negentropy[0] - cross[0] + lse).clamp(min=0),
        "kl_input": (negentropy[1] - cross[1] + lse).clamp(min=0),
        "rank_of_final": above[..., 0],
        "rank_of_input": above[..., 1],
        "rank_of_target": above[..., 2].masked_fill(missing, -1),
        "logprob_final": own_logp[..., 0],
        "logprob_input": own_logp[..., 1],
        "logprob_target": own_logp[..., 2].masked_fill(missing, torch.nan),
    }


def _reduce(logits, p, own, ids, maximum, total, weighted):
    """Fold one chunk of logits (depth, token, vocab) into the running reductions.

    ``p`` (reference, token, vocab) are the reference probabilities, ``own`` (depth, token, 3) the
    logits to rank, ``ids`` (3, token) their places in this chunk if they are in it.
    """
    new = torch.maximum(maximum, logits.amax(-1))
    shrink = torch.exp(maximum - new)
    e = torch.exp(logits - new[..., None])
    total = total * shrink + e.sum(-1)
    weighted = weighted * shrink + (e * logits).sum(-1)
    cross = torch.stack([(p[0] * logits).sum(-1), (p[1] * logits).sum(-1)])
    place = torch.arange(logits.shape[-1])
    above = torch.stack(
        [((logits > own[..., j, None]) & (place != ids[j, :, None])).sum(-1, dtype=torch.int32) for j in range(3)],
        -1,
    )
    return new, total, weighted, cross, above


def next_tokens(activations: xr.Dataset, prompts: pd.DataFrame) -> np.ndarray:
    """The true next token of every token: the text's own, at a prompt's end its target, else -1."""
    ids, names = activations[TOKEN_ID].values, activations[PROMPT].values
    following = np.append(ids[1:], -1)
    last = np.append(names[1:] != names[:-1], True)
    target = prompts.set_index("id")["target_id"]
    following[last] = target.loc[names[last]]
    return following


def as_dataset(
    fields: dict[str, Tensor],
    activations: xr.Dataset,
    target_ids: np.ndarray,
    vocabulary: np.ndarray,
    prompts: pd.DataFrame,
) -> xr.Dataset:
    """Label what `read_out` returns: dims (depth, token[, k]), coordinates of the tokens.

    Token strings are the vocabulary's byte-level form; ``target_str`` is empty where none is.
    """
    category = prompts.set_index("id")["category"]
    coordinates = {name: activations[name].variable for name in (PROMPT, POSITION, TOKEN_ID, TOKEN_STR)}
    dataset = xr.Dataset(
        {name: ((DEPTH, TOKEN, K)[: v.ndim], v.numpy()) for name, v in fields.items()},
        coords={
            DEPTH: np.arange(len(fields["entropy"])),
            **coordinates,
            TARGET_ID: (TOKEN, target_ids),
            "target_str": (TOKEN, np.where(target_ids < 0, "", vocabulary[target_ids])),
            CATEGORY: (TOKEN, category.loc[activations[PROMPT].values].to_numpy(dtype=object)),
        },
    )
    dataset["top_str"] = (dataset["top_id"].dims, vocabulary[dataset["top_id"].values])
    return dataset
