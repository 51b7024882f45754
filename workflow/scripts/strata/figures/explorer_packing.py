"""Readouts of many prompts as few whole numbers, packed prompt by prompt for the explorer.

A prompt is one gzip stream, spelled in base64: a header in JSON, a line's end, then whole numbers cut into
their bytes (all lowest bytes first), which compress far better apart. ``explorer_data.js`` undoes what is
done here.

Numbers are rounded to what can be told apart on the page:

- nats, and so probabilities, the finer the smaller they are (`bent`): off by at most
  (1 + BEND x) / (2 BEND STEPS) at x nats, in percentage points 0.06 of a probability of 99 %, 0.4 of
  50 %, 0.25 of 10 %, and 5 to 7 % of its own value from 1 % down to 1 in 1,000;
- logits of top guesses to half of 1 / LOGIT_STEPS; those of others are off by what their nats are;
- ranks are exact below EXACT, and beyond to 1 %;
- probabilities of traces to half of 1 / PROBABILITY_STEPS.
"""

import json
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from strata.lens.names import GUESS
from strata.names import DEPTH, NOISE, POSITION, PROMPT, SAMPLE, TARGET_ID, TOKEN, TOKEN_ID, TOKEN_STR, K
from strata.trace.names import N_TOKENS, SUBJECT_POSITION, SUBJECT_START

BEND, STEPS = 20, 50  # x nats are told as STEPS log(1 + BEND x), rounded
LOGIT_STEPS = 10  # to a unit of logit
EXACT, RANK_STEPS = 100, 50  # a rank r from EXACT on as EXACT + RANK_STEPS log(r / EXACT), rounded
PROBABILITY_STEPS = 10_000
DISTANCES = ("entropy", "kl_final", "kl_input")
REFERENCES = ("final", "input", "target")
RANK_OF_GUESS = "rank_of_guess"


# Rounding -----------------------------------------------------------------------------------


def bent(nats: np.ndarray) -> np.ndarray:
    """Nats from 0 up as whole numbers, closer where they are small; NaN is 0."""
    return np.rint(STEPS * np.log1p(BEND * np.maximum(np.nan_to_num(nats), 0))).astype(np.int32)


def rank_codes(ranks: np.ndarray) -> np.ndarray:
    """Ranks from 0 as whole numbers: themselves below EXACT, then on a log scale; no rank (-1) is 0."""
    beyond = EXACT + np.rint(RANK_STEPS * np.log(np.maximum(ranks, EXACT) / EXACT))
    return np.where(ranks < EXACT, np.maximum(ranks, 0), beyond).astype(np.int32)


def changes(codes: np.ndarray) -> np.ndarray:
    """Differences from one depth (the last axis) to the next, with their signs in the lowest bit."""
    steps = np.diff(codes, axis=-1, prepend=0)
    return (steps << 1) ^ (steps >> 31)


# Tokens -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tokens:
    """Every token of the page once, frequent ones first (``ids``, ``strings`` as the vocabulary spells
    them), and where each stands: ``top`` (decoder, token, depth, k), ``input`` (token), ``target``
    (token), -1 where there is none."""

    ids: np.ndarray
    strings: list[str]
    top: np.ndarray
    input: np.ndarray
    target: np.ndarray

    @classmethod
    def of(cls, lenses: Sequence[xr.Dataset]) -> "Tokens":
        first = lenses[0]
        arrays = [_stack(lenses, "top_id"), first[TOKEN_ID].values, first[TARGET_ID].values]
        n = max(int(array.max()) for array in arrays) + 1
        count = sum(np.bincount(array.ravel() + 1, minlength=n + 1) for array in arrays)[1:]  # -1 is no token
        found = np.flatnonzero(count)
        ids = found[np.argsort(-count[found], kind="stable")]
        place = np.full(n + 1, -1, np.int32)  # and the last entry, that of -1, stays so
        place[ids] = np.arange(len(ids))
        return cls(ids, _spell(lenses, n)[ids].tolist(), *(place[array] for array in arrays))


def _spell(lenses: Sequence[xr.Dataset], n: int) -> np.ndarray:
    """The string of each id below n, where the lenses tell it."""
    strings = np.full(n + 1, None, object)  # and what stands for no target
    for lens in lenses:
        for ids, spelled in ((TARGET_ID, "target_str"), (TOKEN_ID, TOKEN_STR), ("top_id", "top_str")):
            strings[lens[ids].values] = lens[spelled].transpose(*lens[ids].dims).values
    return strings[:n]


def _stack(lenses: Sequence[xr.Dataset], name: str) -> np.ndarray:
    """A variable of all decoders: (decoder, token, depth[, k])."""
    last = (DEPTH, K) if name.startswith("top_") else (DEPTH,)
    return np.stack([lens[name].transpose(TOKEN, *last).values for lens in lenses])


def _by_place(top: np.ndarray) -> np.ndarray:
    """Guesses by their places among those of the depth below, if they are among them; others by their
    entries in the table of tokens, counted on from k."""
    k = top.shape[-1]
    guesses = top + k
    here, below = top[:, :, 1:], top[:, :, :-1]
    for place in range(k):
        guesses[:, :, 1:][here == below[..., place, None]] = place
    return guesses


# Prompts ------------------------------------------------------------------------------------


def pack_prompts(
    lenses: Sequence[xr.Dataset],
    tokens: Tokens,
    spans: Mapping[str, slice],
    headers: Mapping[str, dict],
    traces: Mapping[str, tuple[dict, np.ndarray]],
) -> Iterator[str]:
    """Each prompt's stream, in base64.

    Parameters
    ----------
    lenses : of each decoder, (depth, token, k), of the same tokens
    tokens : theirs
    spans : prompt to its tokens, which stand together
    headers : prompt to what else its header holds
    traces : prompt to its trace, of `read_traces`, if it has one
    """
    guesses, fields = _by_place(tokens.top), _fields(lenses, tokens)
    kept = [i for i, lens in enumerate(lenses) if RANK_OF_GUESS in lens]
    ranks, isolated = _ranks(lenses, tokens, kept) if kept else (None, None)
    positions = lenses[0][POSITION].values
    for prompt, span in spans.items():
        header = headers[prompt] | {
            "input": tokens.input[span].tolist(),
            "target": tokens.target[span].tolist(),
            "positions": positions[span].tolist(),
        }
        arrays = [guesses[:, span], *(field[:, span] for field in fields)]
        if ranks is not None:
            arrays.append(ranks[:, span][isolated[:, span]])
        if prompt in traces:
            header["trace"], restored = traces[prompt]
            arrays.append(restored)
        yield _pack(header, arrays)


def _fields(lenses: Sequence[xr.Dataset], tokens: Tokens) -> list[np.ndarray]:
    """All readouts but the guesses, (decoder, token, ...), in the page's order; what others tell is 0, or
    where it is one depth of many, as it was at the depth below."""
    final = tokens.top[..., -1:, 0]
    own, target = tokens.input[:, None], tokens.target[:, None]
    ids = {"final": final, "input": own, "target": target}
    told = {"final": False, "input": own == final, "target": (target == final) | (target == own)}
    logprobs = {of: bent(-_stack(lenses, f"logprob_{of}")) for of in REFERENCES}
    # Those of the k best guesses are told there.
    logprobs = {
        of: _held(codes, (tokens.top == ids[of][..., None]).any(-1)) for of, codes in logprobs.items()
    }
    return [
        np.diff(bent(-_stack(lenses, "top_logprob")), axis=-1, prepend=0),
        changes(np.rint(_stack(lenses, "top_logit")[..., 0] * LOGIT_STEPS).astype(np.int32)),
        *(changes(bent(_stack(lenses, name))) for name in DISTANCES),
        *(np.where(told[of], 0, changes(rank_codes(_stack(lenses, f"rank_of_{of}")))) for of in REFERENCES),
        *(np.where(told[of], 0, changes(logprobs[of])) for of in REFERENCES),
    ]


def _held(codes: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Codes (..., depth), where they are known otherwise as at the last depth where they are not, or 0."""
    last = np.maximum.accumulate(np.where(known, -1, np.arange(codes.shape[-1])), axis=-1)
    return np.where(last < 0, 0, np.take_along_axis(codes, np.maximum(last, 0), -1))


def _ranks(lenses: Sequence[xr.Dataset], tokens: Tokens, kept: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The ranks of each depth's top guess at every depth (decoder, token, guess, depth), and which of them
    (decoder, token, guess) nothing else tells: those of a token's first depth on top, if it is neither the
    final guess, the input nor the true next token."""
    ranks = np.stack([lenses[i][RANK_OF_GUESS].transpose(TOKEN, GUESS, DEPTH).values for i in kept])
    top = tokens.top[kept, ..., 0]
    is_first = (top[..., :, None] == top[..., None, :]).argmax(-1) == np.arange(top.shape[-1])
    known = (top == top[..., -1:]) | (top == tokens.input[:, None]) | (top == tokens.target[:, None])
    return changes(rank_codes(ranks)), is_first & ~known


def read_traces(
    trace: xr.Dataset, spans: Mapping[str, slice], token_str: np.ndarray
) -> dict[str, tuple[dict, np.ndarray]]:
    """Of every traced prompt what its header says of the trace, and the restored probabilities (noise,
    depth, position from the first corrupted one on) as whole numbers; means over samples.

    Raises
    ------
    ValueError
        If a trace is of other tokens than the lens.
    """
    restored = np.rint(trace["p_target"].mean(SAMPLE).fillna(0) * PROBABILITY_STEPS).astype(np.int32)
    restored = restored.transpose(PROMPT, NOISE, DEPTH, POSITION).values
    corrupted = trace["p_corrupted"].mean(SAMPLE).transpose(PROMPT, NOISE).values
    numbers = np.stack([trace[name].values for name in (SUBJECT_START, SUBJECT_POSITION, N_TOKENS)], axis=-1)
    strings, clean = trace[TOKEN_STR].values, trace["p_clean"].values
    traces = {}
    for i, prompt in enumerate(trace[PROMPT].values):
        if prompt not in spans:
            continue
        start, last, stop = numbers[i].tolist()
        if strings[i, :stop].tolist() != token_str[spans[prompt]].tolist():
            raise ValueError(f"prompt {prompt!r}: its trace and its lens are of different tokens")
        header = {
            "start": start,
            "stop": last + 1,
            "clean": round(float(clean[i]), 5),
            "corrupted": [None if np.isnan(p) else round(float(p), 5) for p in corrupted[i]],
        }
        traces[str(prompt)] = header, restored[i, :, :, start:stop]
    return traces


def _pack(header: dict, arrays: Sequence[np.ndarray]) -> str:
    integers = np.concatenate([array.ravel() for array in arrays]).astype("<u4")
    planes = max(1, -(-int(integers.max()).bit_length() // 8))
    said = json.dumps(header | {"planes": planes}, separators=(",", ":")).encode() + b"\n"
    return encode(said, *(plane.tobytes() for plane in integers.view(np.uint8).reshape(-1, 4).T[:planes]))


def encode(*pieces: bytes) -> str:
    """Pieces of bytes, compressed one after the other and spelled in letters that cannot end a script."""
    packer = zlib.compressobj(wbits=31, strategy=zlib.Z_FILTERED)  # gzip, by the strategy for numbers
    # Each piece in blocks of its own, since its bytes are of their own kind.
    packed = b"".join(packer.compress(piece) + packer.flush(zlib.Z_BLOCK) for piece in pieces)
    return b64encode(packed + packer.flush()).decode()
