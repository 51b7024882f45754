"""The lens: what every depth would say if it were decoded now (nostalgebraist 2020).

Logits of all depths and tokens would not fit in memory, and passing over them again and again costs
more than making them. So tokens are taken in tiles: one matrix product makes the logits of all
depths of a tile in a buffer, and while they are warm they are reduced, a few tokens at a time, in
few passes and with one exponential. Everything about a token, its reference distributions and the
logits to be ranked included, is read from that one product: entries of two products differ in their
last bits, which would rank a token above itself and make ties unequal.
"""

import logging
import shutil
import sysconfig
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor
from torch.linalg import vecdot

from strata.decoders import LogitDecoder
from strata.names import CATEGORY, DEPTH, POSITION, PROMPT, TARGET_ID, TOKEN, TOKEN_ID, TOKEN_STR, K

BLOCK = 64
"""Vocabulary entries of one block in the search for the top k."""

GROUP = 2**20
"""Logits reduced together: few enough for a core's cache, enough to hide the calls' overhead."""


def read_out(
    resid: Tensor,
    decoder: LogitDecoder,
    input_ids: Tensor,
    target_ids: Tensor,
    top_k: int,
    max_bytes: int = 2**27,
    compile_from: float = 1e10,
    progress: Callable[[Iterable, str], Iterable] = lambda items, what: items,
) -> dict[str, Tensor]:
    """Decode every depth of every token.

    Parameters
    ----------
    resid : (depth, token, channel)
        The residual stream; depth 0 is the embedding, the last depth enters the final norm.
    input_ids, target_ids : (token)
        The token itself and the true next token, -1 where there is none.
    max_bytes : int
        Size of the buffer of logits, and so of a tile (at least one token with all its depths).
    compile_from : float
        Number of logits (depths x tokens x vocabulary) from which the reduction is compiled, if
        there is a C++ compiler: that takes 5 to 10 s and saves about 1 ns a logit. 0: always.

    Returns
    -------
    dict of tensors, logs in nats
        (depth, token, k): ``top_id``, ``top_logit``, ``top_logprob``, of equal logits the smaller
        id first. (depth, token): ``entropy``; ``kl_final`` = KL(final ‖ depth), ``kl_input`` =
        KL(input ‖ depth), where final and input are the readouts of the last depth and of depth 0;
        ``rank_of_final``, ``rank_of_input``, ``rank_of_target``: how many entries have a larger
        logit than the final top-1, the input token, the true next token (0 is the top; -1 where
        there is no target); ``logprob_final``, ``logprob_input``, ``logprob_target`` of the same
        (NaN where there is no target).

    Raises
    ------
    ValueError
        If the number of tokens of the three inputs differs, or an id is not in the vocabulary.
    """
    n_depths, n_tokens, _ = resid.shape
    weight, bias = decoder.unembedding, decoder.bias
    vocab = len(weight)
    if not len(input_ids) == len(target_ids) == n_tokens:
        raise ValueError(f"{n_tokens} tokens, {len(input_ids)} input ids, {len(target_ids)} target ids")
    if n_tokens and (input_ids.min() < 0 or max(input_ids.max(), target_ids.max()) >= vocab):
        raise ValueError(f"ids beyond the vocabulary of {vocab} entries")
    compiled = n_depths * n_tokens * vocab >= compile_from and _can_compile()
    reduce = torch.compile(_reduce, dynamic=False) if compiled else _reduce
    logging.info("lens: %s reduction", "compiled" if compiled else "eager")

    k = min(top_k, vocab)
    out = {name: resid.new_empty(n_depths, n_tokens, k, dtype=kind) for name, kind in _TOP.items()}
    out |= {name: resid.new_empty(n_depths, n_tokens, dtype=kind) for name, kind in _EACH.items()}

    padded = -(-vocab // BLOCK) * BLOCK
    tile = max(1, min(n_tokens, max_bytes // (4 * n_depths * padded)))
    group = max(1, min(tile, GROUP // (n_depths * padded)))
    tile -= tile % group
    buffer = resid.new_full((tile, n_depths, padded), -torch.inf, dtype=torch.float32)
    for start in progress(range(0, n_tokens, tile), "tiles of tokens"):
        stop = min(start + tile, n_tokens)
        rows = decoder.norm(resid[:, start:stop]).transpose(0, 1).flatten(0, 1)
        logits = buffer[: stop - start]
        product = logits.flatten(0, 1)[:, :vocab]
        torch.mm(rows, weight.T, out=product)
        if bias is not None:
            product += bias
        for first in range(start, stop, group):
            tokens = slice(first, min(first + group, stop))
            z = logits[first - start : tokens.stop - start]
            # An incomplete last group is not worth compiling for.
            how = reduce if len(z) == group else _reduce
            fields = _read_tokens(z, vocab, input_ids[tokens], target_ids[tokens], k, how)
            for name, value in fields.items():
                out[name][:, tokens] = value.transpose(0, 1)
    return out


def _can_compile() -> bool:
    """Whether torch.compile finds what it needs: a C++ compiler and Python's headers."""
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    return shutil.which("g++") is not None and header.exists()


_TOP = {"top_id": torch.long, "top_logit": torch.float32, "top_logprob": torch.float32}
_EACH = dict.fromkeys(["entropy", "kl_final", "kl_input"], torch.float32)
_EACH |= {f"rank_of_{what}": torch.int32 for what in ("final", "input", "target")}
_EACH |= {f"logprob_{what}": torch.float32 for what in ("final", "input", "target")}


def _read_tokens(
    padded: Tensor, vocab: int, input_ids: Tensor, target_ids: Tensor, k: int, reduce: Callable
) -> dict[str, Tensor]:
    """All readouts (token, depth[, k]) of logits (token, depth, vocab padded with -inf)."""
    logits = padded[..., :vocab]
    top, top_id = _top(padded, k)
    ids = torch.stack([top_id[:, -1, 0], input_ids, target_ids.clamp(min=0)], -1)
    own = logits.gather(-1, ids[:, None].expand(-1, logits.shape[1], -1))
    references = logits[:, [-1, 0]].softmax(-1)
    maximum = top[..., 0]
    total, weighted, cross, above = reduce(logits, maximum, references, own)

    log_total = total.log()
    lse = maximum + log_total
    own_logp = own - lse[..., None]
    # Σ p_ref (z_ref − z) and the two log-sum-exps, all about each row's maximum; 0 where z is z_ref.
    kl_final, kl_input = (
        (cross[:, ref, i, None] - cross[..., i] + log_total - log_total[:, ref, None]).clamp(min=0)
        for i, ref in enumerate((-1, 0))
    )
    missing = (target_ids < 0)[:, None]
    return {
        "top_id": top_id,
        "top_logit": top,
        "top_logprob": top - lse[..., None],
        "entropy": log_total - weighted / total,
        "kl_final": kl_final,
        "kl_input": kl_input,
        "rank_of_final": above[..., 0],
        "rank_of_input": above[..., 1],
        "rank_of_target": above[..., 2].masked_fill(missing, -1),
        "logprob_final": own_logp[..., 0],
        "logprob_input": own_logp[..., 1],
        "logprob_target": own_logp[..., 2].masked_fill(missing, torch.nan),
    }


def _top(padded: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest (values, ids) along the last axis, of equal ones the smaller id first.

    They lie in the k blocks with the largest maxima; only those are searched.
    """
    blocks = padded.unflatten(-1, (-1, BLOCK)).amax(-1)
    chosen = blocks.topk(min(k, blocks.shape[-1]), sorted=False).indices
    ids = (chosen[..., None] * BLOCK + torch.arange(BLOCK, device=padded.device)).flatten(-2)
    value, at = padded.gather(-1, ids).topk(k)
    ids, order = ids.gather(-1, at).sort(-1)
    value, at = value.gather(-1, order).sort(dim=-1, descending=True, stable=True)
    return value, ids.gather(-1, at)


def _reduce(z: Tensor, maximum: Tensor, references: Tensor, own: Tensor) -> tuple[Tensor, ...]:
    """Reduce logits ``z`` (token, depth, vocab), ``maximum`` (token, depth), over the vocabulary.

    ``references`` (token, 2, vocab) are probabilities, ``own`` (token, depth, 3) logits to rank.
    Returns Σ exp(z'), Σ exp(z') z' (token, depth), Σ p z' (token, depth, 2) with z' = z − maximum,
    and the number of logits above each of ``own`` (token, depth, 3).
    """
    shifted = z - maximum[..., None]
    e = shifted.exp()
    cross = shifted @ references.mT
    # Counted in floating point (exact to 2**24), which is four times faster than in booleans.
    larger = partial(torch.gt, z, out=torch.empty_like(z))
    above = [larger(own[..., i, None]).sum(-1) for i in range(3)]
    return e.sum(-1), vecdot(e, shifted), cross, torch.stack(above, -1)


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

    Token strings are the vocabulary's byte-level form; ``target_str`` is empty where none is. What
    is measured in nats says so in its attribute ``units``.
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
    for name in dataset.data_vars:
        if name == "entropy" or name.startswith(("kl_", "logprob_", "top_logprob")):
            dataset[name].attrs["units"] = "nat"
    dataset["top_str"] = (dataset["top_id"].dims, vocabulary[dataset["top_id"].values])
    return dataset
