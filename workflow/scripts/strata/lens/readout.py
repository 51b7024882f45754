"""The lens: what every depth would say if it were decoded now (nostalgebraist 2020).

Logits of all depths and tokens would not fit in memory, and passing over them again and again costs
more than making them. So tokens are taken in tiles: one matrix product makes the logits of all
depths of a tile in a buffer, and while they are warm they are reduced, a few tokens at a time, in
few passes and with one exponential. Everything about a token, its reference distributions and the
logits to be ranked included, is read from that one product: entries of two products differ in their
last bits, which would rank a token above itself and make ties unequal.
"""

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from strata.lens.decoders import DepthMaps
from strata.lens.reduction import LEAST, Reduction, can_compile, count_above, padded_size
from strata.lens.stream import pieces, stream_depths, with_half_depths
from strata.model.device import at_once
from strata.model.largest import largest
from strata.model.memory import Fitting
from strata.model.readout import LogitDecoder
from strata.names import CHANNEL, LAYER, PROMPT, TOKEN, TOKEN_ID
from strata.products import filled, product_into
from strata.progress import Progress, nested, silent

COLUMNS = 2**11
"""Vocabulary entries that tokens are multiplied with at once, on a CPU."""

BUFFER = 2**26
"""Bytes of logits made at once, on a CPU."""

GROUP = 2**21
"""Logits reduced together, at most: few enough for a cache, enough to hide the calls' overhead."""

GROUPS = 8
"""Of a tile, at least where it has as many tokens: beside its logits, twice a group's are held."""

ON_GPU = 16
"""Times as many on a GPU, and tiles as much larger: its calls cost more, and no cache has to hold them."""

COMPILE_FROM = 4e9
"""Logits from which compiling the reduction pays: it takes 5 s and saves 1.4 ns a logit, or more."""


def read_out(
    states: Tensor,
    decoder: LogitDecoder,
    input_ids: Tensor,
    target_ids: Tensor,
    top_k: int,
    n_stream: int | None = None,
    rank_guesses: bool = True,
    word_ids: Tensor | None = None,
    max_bytes: int | None = None,
    compile_from: float = COMPILE_FROM,
    progress: Progress = silent,
) -> dict[str, Tensor]:
    """Decode every depth of every token.

    Parameters
    ----------
    states : (depth, token, channel)
        The residual stream as the decoder's maps leave it; the first is the embedding, the last
        (of the stream) enters the final norm.
    input_ids, target_ids : (token)
        The token itself and the true next token, -1 where there is none.
    n_stream : int, optional
        How many of the states, from the first, are the stream; what follows (what sub-blocks add,
        say) is read against the same references. All, if not given.
    rank_guesses : bool
        Whether to follow every top guess of the stream through its depths.
    word_ids : (token, word), optional
        Words to look up at every depth of a token, -1 where there are none.
    max_bytes : int, optional
        Size of the buffer of logits on the CPU, and so of a tile (at least one token with all its depths).
        `BUFFER`, or a quarter of the unembedding's if that is more.
    compile_from : float
        Number of logits (depths x tokens x vocabulary) from which the reduction is compiled, if
        there is a C++ compiler. 0: always.

    Returns
    -------
    dict of tensors, logs in nats
        (depth, token, k): ``top_id``, ``top_logit``, ``top_logprob``, of equal logits the smaller
        id first. (depth, token): ``entropy``; ``kl_final`` = KL(final ‖ depth), ``kl_input`` =
        KL(input ‖ depth), where final and input are the readouts of the last depth and of depth 0;
        ``rank_of_final``, ``rank_of_input``, ``rank_of_target``: how many entries have a larger
        logit than the final top-1, the input token, the true next token (0 is the top; -1 where
        there is no target); ``logprob_final``, ``logprob_input``, ``logprob_target`` of the same
        (NaN where there is no target). (depth of the stream, token, guess), if asked for:
        ``rank_of_guess``, that of the top guess of each depth of the stream. (depth, token, word), if asked
        for: ``logprob_word``, ``rank_of_word`` (NaN and -1 where there are none).

    Raises
    ------
    ValueError
        If the number of tokens of the three inputs differs, or an id is not in the vocabulary.
    """
    n_depths, n_tokens, _ = states.shape
    n_stream = n_depths if n_stream is None else n_stream
    weight, vocab = decoder.unembedding, len(decoder.unembedding)
    if not len(input_ids) == len(target_ids) == n_tokens:
        raise ValueError(f"{n_tokens} tokens, {len(input_ids)} input ids, {len(target_ids)} target ids")
    if n_tokens and (input_ids.min() < 0 or max(input_ids.max(), target_ids.max()) >= vocab):
        raise ValueError(f"ids beyond the vocabulary of {vocab} entries")
    on_cpu = states.device.type == "cpu"
    compiled = on_cpu and n_depths * n_tokens * vocab >= compile_from and can_compile()
    logging.info("lens: %s reduction", "compiled" if compiled else "eager")

    k = min(top_k, vocab)
    out = {name: states.new_empty(n_depths, n_tokens, k, dtype=kind) for name, kind in _TOP.items()}
    out |= {name: states.new_empty(n_depths, n_tokens, dtype=kind) for name, kind in _EACH.items()}
    if rank_guesses:
        out["rank_of_guess"] = states.new_empty(n_stream, n_tokens, n_stream, dtype=torch.int32)
    if word_ids is not None:
        shape = (n_depths, *word_ids.shape)
        out["logprob_word"] = states.new_empty(shape, dtype=torch.float32)
        out["rank_of_word"] = states.new_empty(shape, dtype=torch.int32)

    padded = padded_size(vocab)
    max_bytes = max(BUFFER, weight.numel()) if max_bytes is None else max_bytes
    most, together = (at_once(size, states.device, ON_GPU) for size in (max_bytes // 4, GROUP))
    tile = max(1, min(n_tokens, most // (n_depths * padded)))
    tile = _fullest(tile, n_depths) if on_cpu else tile
    group = max(1, min(tile // GROUPS, together // (n_depths * padded)))
    tile -= tile % group
    columns = at_once(COLUMNS, states.device, ON_GPU)
    buffer = states.new_empty(tile, n_depths, padded, dtype=torch.float32)
    buffer[..., vocab:] = LEAST
    some_depths = max(1, min(n_depths, 2 * together // (group * padded)))
    room = states.new_empty(2, group, some_depths, vocab, dtype=torch.float32)
    reduction = Reduction(vocab, room, compiled)
    for start in progress(range(0, n_tokens, tile), "tiles of tokens"):
        stop = min(start + tile, n_tokens)
        rows = decoder.rows(states[:, start:stop]).transpose(0, 1).flatten(0, 1)
        logits = buffer[: stop - start]
        decoded = logits.flatten(0, 1)[:, :vocab]
        # Columns in pieces, of which a cache has room: a fifth faster than all of the vocabulary at once.
        for part, out_of in zip(weight.split(columns), decoded.split(columns, 1), strict=True):
            product_into(out_of, rows, part)
        decoder.finish_(decoded)
        top, top_id = largest(logits, k)
        for first in range(start, stop, group):
            tokens = slice(first, min(first + group, stop))
            here = slice(first - start, tokens.stop - start)
            z, best = logits[here], (top[here], top_id[here])
            ids = input_ids[tokens], target_ids[tokens]
            fields = _read_tokens(z, *best, *ids, n_stream, rank_guesses, reduction)
            if word_ids is not None:
                log_total = (fields["top_logit"] - fields["top_logprob"])[..., :1]
                fields |= _read_words(z[..., :vocab], log_total, word_ids[tokens])
            for name, value in fields.items():
                out[name][:, tokens] = value.transpose(0, 1)
    return out


def _fullest(most: int, n_depths: int) -> int:
    """How many tokens, up to ``most`` and above half of that, waste the least of rows that are filled up."""
    return max(range(most // 2 + 1, most + 1), key=lambda n: (n * n_depths / filled(n * n_depths), n))


_TOP = {"top_id": torch.long, "top_logit": torch.float32, "top_logprob": torch.float32}
_EACH = dict.fromkeys(["entropy", "kl_final", "kl_input"], torch.float32)
_EACH |= {f"rank_of_{what}": torch.int32 for what in ("final", "input", "target")}
_EACH |= {f"logprob_{what}": torch.float32 for what in ("final", "input", "target")}


def _read_tokens(
    padded: Tensor,
    top: Tensor,
    top_id: Tensor,
    input_ids: Tensor,
    target_ids: Tensor,
    n_stream: int,
    rank_guesses: bool,
    reduction: Reduction,
) -> dict[str, Tensor]:
    """All readouts (token, depth[, k]) of logits (token, depth, vocab padded with `LEAST`)."""
    final = n_stream - 1
    ids = torch.stack([top_id[:, final, 0], input_ids, target_ids.clamp(min=0)], -1)
    n_own = ids.shape[-1]
    if rank_guesses:
        different, place = _different(top_id[:, :n_stream, 0])
        ids = torch.cat([ids, different], -1)
    to_rank = padded.gather(-1, _at_every_depth(ids, padded))
    maximum = top[..., 0]
    total, weighted, cross, above = reduction(padded, maximum, [final, 0], to_rank)

    log_total = total.log()
    lse = maximum + log_total
    own_logp = to_rank[..., :n_own] - lse[..., None]
    # Σ p_ref (z_ref − z) and the two log-sum-exps, all about each row's maximum; 0 where z is z_ref.
    kl_final, kl_input = (
        (cross[:, ref, i, None] - cross[..., i] + log_total - log_total[:, ref, None]).clamp(min=0)
        for i, ref in enumerate((final, 0))
    )
    missing = (target_ids < 0)[:, None]
    fields = {
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
    if rank_guesses:
        of_guesses = above[:, :n_stream, n_own:]
        fields["rank_of_guess"] = of_guesses.gather(-1, _at_every_depth(place, of_guesses))
    return fields


def _different(guesses: Tensor) -> tuple[Tensor, Tensor]:
    """Of each token the different guesses (token, n), 0 where there are fewer, and each guess's place there.

    Most depths guess alike: what is guessed several times is ranked once.
    """
    first = (guesses[:, :, None] == guesses[:, None]).byte().argmax(-1)
    new = first == torch.arange(guesses.shape[1], device=guesses.device)
    place = (new.cumsum(-1) - 1).gather(-1, first)
    return guesses.new_zeros(len(guesses), int(place.max()) + 1).scatter_(-1, place, guesses), place


def _at_every_depth(index: Tensor, values: Tensor) -> Tensor:
    """An index (token, n) for each depth of ``values`` (token, depth, ...)."""
    return index[:, None].expand(-1, values.shape[1], -1)


def _read_words(logits: Tensor, log_total: Tensor, ids: Tensor) -> dict[str, Tensor]:
    """Readouts (token, depth, word) of the words ``ids`` (token, word), of tokens that have any.

    ``logits`` (token, depth, vocab), ``log_total`` (token, depth, 1) their log-sum-exp.
    """
    chosen = (ids >= 0).all(-1)
    some = logits[chosen]
    own = some.gather(-1, _at_every_depth(ids[chosen], some))
    shape = (*logits.shape[:2], ids.shape[-1])
    logprob, rank = logits.new_full(shape, torch.nan), logits.new_full(shape, -1)
    logprob[chosen] = own - log_total[chosen]
    rank[chosen] = count_above(some, own)
    return {"logprob_word": logprob, "rank_of_word": rank}


Carry = Callable[[Tensor, Tensor, list[int]], tuple[Tensor, Tensor]]
"""What a decoder does before the norm: of some prompts it is given the stream (depth, token, channel),
what attention and then what MLPs add (2 layer, token, channel) or nothing (0, token, channel), and the
prompts' lengths."""


def carry_by(*maps: DepthMaps, n_layers: int, depths: np.ndarray | None = None) -> Carry:
    """Carry states by the maps of their depths, if any; an update takes that of its block's end.

    ``depths`` (depth) are those of the stream: those of `stream_depths`, if not given.
    """
    depths = stream_depths(n_layers) if depths is None else depths
    ends = np.tile(np.arange(1, n_layers + 1), 2).astype(float)

    def carry(stream: Tensor, updates: Tensor, lengths: list[int]) -> tuple[Tensor, Tensor]:
        for each in maps:
            stream = each(stream, depths)
            updates = each(updates, ends) if len(updates) else updates
        return stream, updates

    return carry


def pieces_of(activations: xr.Dataset, max_bytes: int = 2**25) -> list[list[slice]]:
    """Cut all prompts into pieces (`strata.lens.stream.pieces`) whose states have so many bytes."""
    of_token = 4 * (4 * activations.sizes[LAYER] + 1) * activations.sizes[CHANNEL]
    return pieces(activations[PROMPT].values, max(1, max_bytes // of_token))


def read_activations(*what, **how) -> dict[str, Tensor]:
    """What `read_pieces` makes of all prompts, as one."""
    parts = [fields for _, fields in read_pieces(*what, **how)]
    return {name: torch.cat([part[name] for part in parts], 1) for name in parts[0]}


def read_pieces(
    activations: xr.Dataset,
    decoder: LogitDecoder,
    carry: Carry,
    target_ids: np.ndarray,
    top_k: int,
    updates: bool = False,
    rank_guesses: bool = True,
    word_ids: np.ndarray | None = None,
    half_depths: bool = True,
    cut: Sequence[list[slice]] | None = None,
    progress: Progress = silent,
) -> Iterator[tuple[slice, dict[str, Tensor]]]:
    """Decode the stream of all prompts, or what sub-blocks add to it, a piece of the prompts at a time.

    Parameters
    ----------
    activations : ``resid`` (depth, token, channel), ``attn_out``, ``mlp_out`` (layer, token, channel)
    target_ids : (token), see `next_tokens`
    updates : whether to decode what attention and then what MLPs add, rather than the stream
    top_k, rank_guesses, word_ids : as for `read_out`; nothing is followed, or looked up, of updates
    half_depths : whether the stream is decoded at its half-depths too
    cut : some of the pieces that `pieces_of` makes; None: all
    progress : shows the pieces; of a single one, its tiles of tokens

    Returns
    -------
    The tokens of each piece, and of these as `read_out`, of the L + 1 states of the stream, 2L + 1 with
    half-depths, or of the L updates of attention and the L of MLPs.
    """
    vocab, n_states = len(decoder.unembedding), 2 * activations.sizes[LAYER] * activations.sizes[TOKEN]
    # Of all prompts, whichever are read here: what is compiled differs in the last digits.
    compile_from = 0 if n_states * vocab >= COMPILE_FROM else np.inf
    device = decoder.unembedding.device
    cut = pieces_of(activations) if cut is None else cut
    progress, inside = nested(progress, cut)

    def read(prompts: list[slice]) -> dict[str, Tensor]:
        tokens = slice(prompts[0].start, prompts[-1].stop)
        piece = activations.isel({TOKEN: tokens})

        def kept(name: str) -> Tensor:
            return torch.from_numpy(piece[name].values).to(device).float()

        states = kept("resid")
        added = torch.cat([kept("attn_out"), kept("mlp_out")]) if updates else states[:0]
        if half_depths:
            states = with_half_depths(states, kept("attn_out"))
        stream, added = carry(states, added, [prompt.stop - prompt.start for prompt in prompts])
        # Updates are read against the same references, of which they are no part.
        stream = stream[[0, -1]] if updates else stream
        found = read_out(
            torch.cat([stream, added]) if len(added) else stream,
            decoder,
            torch.from_numpy(piece[TOKEN_ID].values.astype(np.int64)).to(device),
            torch.from_numpy(target_ids[tokens]).to(device),
            top_k,
            len(stream),
            rank_guesses and not updates,
            None if word_ids is None or updates else torch.from_numpy(word_ids[tokens]).to(device),
            compile_from=compile_from,
            progress=inside,
        )
        first = len(stream) if updates else 0
        return {name: value[first:].cpu() for name, value in found.items()}

    fitting = Fitting("prompts")
    for piece in progress(cut, "pieces"):
        for some, fields in fitting(read, piece):
            yield slice(some[0].start, some[-1].stop), fields
