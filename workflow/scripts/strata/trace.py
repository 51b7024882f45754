"""Causal tracing by one sweep through depth.

Meng et al. 2022 (ROME, section 2.1): run the prompt with its subject's embedding noised (the
*corrupted* run), put one hidden state back to its value in the *clean* run (the *restored* run),
and see what becomes of the answer. Done literally, that is a forward pass for every site. Here all
sites (depth, position) go through the model together, once, and nothing is computed that cannot
have changed:

- below the restored depth and before the restored position a restored run is the corrupted run, so
  a site enters at its own depth and carries only its positions from there on; the positions before
  are read from the corrupted run's keys and values;
- the clean row runs once, and only the last position is decoded.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor
from transformers import DynamicCache

from strata.architecture import Parts, Past
from strata.names import (
    CATEGORY,
    DEPTH,
    N_TOKENS,
    NOISE,
    POSITION,
    PROMPT,
    SAMPLE,
    SUBJECT_POSITION,
    TOKEN_STR,
)


@dataclass(frozen=True)
class StateTrace:
    """Log-probability (nats) of the target at the last position.

    ``logp_restored`` (sample, depth, position): with the state entering block ``depth`` at
    ``position`` restored; NaN before the subject, where restoring changes nothing.
    ``logp_corrupted`` (sample). ``logp_clean`` scalar.
    """

    logp_restored: Tensor
    logp_corrupted: Tensor
    logp_clean: Tensor


def seeded_noise(prompt: str, sample: int, seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal noise that depends on the prompt's id, the sample and the seed alone.

    Adding prompts, reordering or sharding them changes nothing, and every noise level scales the
    same draw, so that levels differ by their size only.
    """
    digest = hashlib.sha256(f"{seed}\0{prompt}\0{sample}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint64)).standard_normal(shape)


@contextmanager
def noised_embedding(parts: Parts, positions: Sequence[int], noise: Tensor) -> Iterator[None]:
    """While open, token embeddings at ``positions`` are noised in all rows but the first.

    ``noise`` (row - 1, position, channel) is added to the token embedding itself, before position
    embeddings or any scaling.
    """

    def add(module, args, output):
        output = output.clone()
        output[1:, list(positions)] += noise.to(output.dtype)
        return output

    handle = parts.token_embedding.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


@torch.inference_mode()
def trace_states(
    parts: Parts,
    input_ids: Sequence[int],
    subject_positions: Sequence[int],
    target_id: int,
    noise: Tensor,
    max_rows: int = 8192,
) -> StateTrace:
    """Trace one prompt at every depth and every position from the subject on.

    Parameters
    ----------
    input_ids : (position)
    subject_positions : positions whose token embedding is noised
    target_id : token whose probability is followed
    noise : (sample, subject position, channel)
    max_rows : int
        Hidden states that go through a block at once; bounds memory, changes nothing else.

    Returns
    -------
    StateTrace
    """
    n_samples, first, length = len(noise), min(subject_positions), len(input_ids)
    device = parts.token_embedding.weight.device
    rows = torch.tensor([list(input_ids)] * (1 + n_samples), device=device)
    with noised_embedding(parts, subject_positions, noise.to(device)):
        entering, cache, last = _run(parts, rows)

    finals = []
    for start in range(first, length):
        carried = entering[0].new_empty(0, length - start, entering[0].shape[-1])
        for layer in range(parts.n_layers):
            sites = entering[layer][1:, start:].clone()
            sites[:, 0] = entering[layer][0, start]
            past_keys = cache.layers[layer].keys[1:, :, :start]
            past_values = cache.layers[layer].values[1:, :, :start]
            carried = torch.cat([carried, sites])
            # Sites are ordered (depth, sample); a chunk of whole depths shares the samples' past.
            chunk = max(1, max_rows // (n_samples * (length - start))) * n_samples
            carried = torch.cat(
                [
                    parts.run_block(layer, piece, start, _repeat(past_keys, past_values, len(piece)))
                    for piece in carried.split(chunk)
                ]
            )
        finals.append(carried[:, -1])

    every = torch.cat([last, *finals])
    logp = torch.cat([_target_logp(parts, piece, target_id) for piece in every.split(max_rows)])
    restored = torch.full((n_samples, parts.n_layers, length), torch.nan)
    sites = logp[1 + n_samples :].view(length - first, parts.n_layers, n_samples)
    restored[:, :, first:] = sites.permute(2, 1, 0).cpu()
    return StateTrace(restored, logp[1 : 1 + n_samples].cpu(), logp[0].cpu())


def _run(parts: Parts, rows: Tensor) -> tuple[list[Tensor], DynamicCache, Tensor]:
    """The state entering every block, keys and values, and the last position's last state."""
    entering: list[Tensor] = []
    last: list[Tensor] = []

    def keep(module, args, kwargs):
        entering.append((args[0] if args else kwargs["hidden_states"]).clone())

    handles = [b.register_forward_pre_hook(keep, with_kwargs=True) for b in parts.blocks]
    handles.append(parts.final_norm.register_forward_pre_hook(lambda m, a: last.append(a[0][:, -1])))
    cache = DynamicCache()
    try:
        # The base model: logits of all positions are not wanted.
        parts.model.base_model(input_ids=rows, past_key_values=cache, use_cache=True)
    finally:
        for handle in handles:
            handle.remove()
    return entering, cache, last[0]


def _repeat(keys: Tensor, values: Tensor, n: int) -> Past:
    """The samples' past for ``n`` sites, a whole number of times as many."""
    times = n // len(keys)
    return Past(keys.repeat(times, 1, 1, 1), values.repeat(times, 1, 1, 1))


def _target_logp(parts: Parts, last: Tensor, target_id: int) -> Tensor:
    logits = parts.unembedding(parts.final_norm(last)).float()
    return logits[:, target_id] - logits.logsumexp(-1)


def traceable(prompts: pd.DataFrame) -> pd.DataFrame:
    """The accepted prompts that have a subject and a target.

    Raises
    ------
    ValueError
        If there is none: the model completes no prompt as it should.
    """
    chosen = prompts[prompts["accepted"] & (prompts["target_id"] >= 0)].reset_index(drop=True)
    if chosen.empty:
        raise ValueError(f"none of {len(prompts)} prompts is accepted on this model; see prompts.tsv for why")
    return chosen


def noise_levels(
    parts: Parts, subject_ids: Sequence[int], absolute: Sequence[float], relative: Sequence[float]
) -> dict[str, float]:
    """Standard deviations of the noise by name: ``0.5``, or ``3x`` the subjects' embeddings' own.

    As in ROME, "own" is the standard deviation over all entries of the subjects' embeddings.
    """
    ids = torch.as_tensor(sorted(set(subject_ids)), device=parts.token_embedding.weight.device)
    own = parts.token_embedding.weight[ids].float().std().item()
    levels = {f"{sd:g}": float(sd) for sd in absolute}
    return levels | {f"{times:g}x": times * own for times in relative}


def trace_prompt(
    parts: Parts,
    input_ids: Sequence[int],
    prompt,
    levels: dict[str, float],
    n_samples: int,
    seed: int,
    max_rows: int,
) -> StateTrace:
    """Trace a row of ``prompts.tsv`` at every noise level in one sweep; samples of a level adjoin."""
    shape = (1, parts.token_embedding.embedding_dim)
    draws = np.stack([seeded_noise(prompt.id, sample, seed, shape) for sample in range(n_samples)])
    noise = np.concatenate([sd * draws for sd in levels.values()])
    position = [prompt.subject_position]
    tensor = torch.from_numpy(noise).float()
    return trace_states(parts, input_ids, position, prompt.target_id, tensor, max_rows)


def as_dataset(
    traces: Sequence[StateTrace],
    prompts: pd.DataFrame,
    token_strings: Sequence[Sequence[str]],
    levels: dict[str, float],
) -> xr.Dataset:
    """Label the traces of many prompts, padded with NaN to the longest.

    Returns
    -------
    xr.Dataset
        ``p_target`` (prompt, noise, sample, depth, position), ``p_corrupted`` (prompt, noise,
        sample), ``p_clean`` (prompt): probabilities of the target's first token.
    """
    width = max(len(tokens) for tokens in token_strings)
    _, n_depths, _ = traces[0].logp_restored.shape

    def by_level(values: Tensor) -> np.ndarray:
        return values.exp().numpy().reshape(len(levels), -1, *values.shape[1:])

    n_samples = len(traces[0].logp_corrupted) // len(levels)
    p_target = np.full((len(traces), len(levels), n_samples, n_depths, width), np.nan, np.float32)
    strings = np.full((len(traces), width), "", object)
    for row, (trace, tokens) in enumerate(zip(traces, token_strings, strict=True)):
        p_target[row, ..., : len(tokens)] = by_level(trace.logp_restored)
        strings[row, : len(tokens)] = tokens
    columns = ("subject_start", SUBJECT_POSITION, N_TOKENS)
    texts = (CATEGORY, "target", "top_str")
    return xr.Dataset(
        {
            "p_target": ((PROMPT, NOISE, SAMPLE, DEPTH, POSITION), p_target),
            "p_corrupted": ((PROMPT, NOISE, SAMPLE), np.stack([by_level(t.logp_corrupted) for t in traces])),
            "p_clean": (PROMPT, np.array([t.logp_clean.exp().item() for t in traces])),
        },
        coords={
            PROMPT: prompts["id"].to_numpy(dtype=object),
            NOISE: np.array(list(levels), dtype=object),
            "noise_sd": (NOISE, list(levels.values())),
            DEPTH: np.arange(n_depths),
            TOKEN_STR: ((PROMPT, POSITION), strings),
            **{name: (PROMPT, prompts[name].to_numpy()) for name in columns},
            **{name: (PROMPT, prompts[name].to_numpy(dtype=object)) for name in texts},
        },
    )
