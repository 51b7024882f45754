"""Rows of the trace: the sweep against the loop, and against the rate of a large product."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from frame import Gemm, Row, Turns, without_strata
from shapes import random_model, random_prompt
from shipped import shipped
from torch.utils.flop_counter import FlopCounterMode

from oracles.trace import trace_batched
from strata.model.architecture import Parts
from strata.notebook.load import unpacked
from strata.trace.corruption import Prompt
from strata.trace.sites import restoration
from strata.trace.sweep import trace_prompts

LENGTHS = {"xl": (12,), "medium": (8, 20), "small": (8, 12, 20), "smollm2": (8, 20), "organism": (8, 20)}
SAMPLES = {"xl": 2}
OF_LOOP = 7
"""Of the sites one in so many are put back by the loop, whose time is in proportion: every site costs it a
forward pass of the whole model. No number of layers or tokens is a multiple of it: all are met."""

SMOLLM2 = Path("data/models/SmolLM2-135M-Instruct.Q4_1.gguf")
OF_SHIPPED = 8
"""Of the shipped prompts one in so many is traced."""

WINDOW = 3
SAME = 1e-6
WINDOWS = ("mlp", "attn", "state_severed_mlp", "state_severed_attn")


def rows(shape: str, device: torch.device, rounds: int, quick: bool) -> Iterator[Row]:
    parts = random_model(shape, device)
    for length in LENGTHS[shape][: 1 if quick else None]:
        prompt = random_prompt(parts, length, SAMPLES.get(shape, 10))
        told = f"{shape}, {length} tokens, {len(prompt.labels)} samples"
        yield from _state(parts, prompt, told, rounds)
    if shape == "smollm2" and SMOLLM2.exists() and not quick:
        yield _shipped(parts, rounds)
    prompt = random_prompt(parts, LENGTHS[shape][0], SAMPLES.get(shape, 10))
    if shape == "small":
        yield _levels(parts, shape, rounds)
        for what in WINDOWS[: 2 if quick else None]:
            turns = Turns(
                {
                    "loop": lambda what=what: loop(parts, prompt, what),
                    "sweep": lambda what=what: sweep(parts, [prompt], what),
                },
                rounds,
            )
            told = f"{shape}, {len(prompt.input_ids)} tokens, {len(prompt.labels)} samples"
            faster = turns.ratio("loop", "sweep") * of_loop(parts, prompt)
            yield Row(f"trace of {what}", told, "ROME's loop", faster, ">= 6", ">= 8")


def _shipped(parts: Parts, rounds: int, samples: int = 2) -> Row:
    """A share of the shipped prompts, in SmolLM2's tokens, as they are traced together."""
    with tempfile.TemporaryDirectory() as folder:
        every = [*shipped(unpacked(SMOLLM2, Path(folder)))][::OF_SHIPPED]
    prompts = [
        random_prompt(parts, len(each.ids), samples, range(each.subject[0], each.subject[1] + 1))
        for each in every
    ]
    product = Gemm(parts.device, seconds=1)
    turns = Turns({"sweep": lambda: sweep(parts, prompts), "product": product}, rounds)
    peak = turns.ratio("product", "sweep") * necessary(parts, prompts) / product.operations
    told = f"smollm2, {len(prompts)} shipped prompts, {samples} samples"
    return Row("trace of states", told, "GEMM peak, necessary operations", peak, ">= 0.65", ">= 0.8")


def _levels(parts: Parts, shape: str, rounds: int, n_levels: int = 6, samples: int = 2) -> Row:
    """All levels of noise in one trace: the clean run is run once, and rows go through the model together."""
    whole = random_prompt(parts, LENGTHS[shape][0], n_levels * samples)
    rows = range(0, n_levels * samples, samples)
    each = [
        replace(
            whole,
            labels=whole.labels[row : row + samples],
            corrupted_ids=whole.corrupted_ids[row : row + samples],
            noise=whole.noise[row : row + samples],
        )
        for row in rows
    ]
    turns = Turns(
        {
            "each": lambda: [sweep(parts, [prompt]) for prompt in each],
            "at once": lambda: sweep(parts, [whole]),
        },
        rounds,
    )
    told = f"{shape}, {len(whole.input_ids)} tokens, {n_levels} levels, {samples} samples"
    return Row("trace, all noise levels", told, "one trace a level", turns.ratio("at once", "each"), "<= 1")


def _state(parts: Parts, prompt: Prompt, told: str, rounds: int) -> Iterator[Row]:
    product = Gemm(parts.device, seconds=0.2)
    [swept] = sweep(parts, [prompt])
    apart = (swept.exp() - loop(parts, prompt).exp()).nan_to_num().abs().max()  # NaN before the subject
    if apart > SAME:
        raise AssertionError(f"{told}: sweep and loop are {apart:.1e} apart in probability")
    turns = Turns(
        {
            "sweep": lambda: sweep(parts, [prompt]),
            "product": product,
            "loop": lambda: loop(parts, prompt),
        },
        rounds,
    )
    faster = turns.ratio("loop", "sweep") * of_loop(parts, prompt)
    yield Row("trace of states", told, "ROME's loop", faster, ">= 9", ">= 12")
    peak = turns.ratio("product", "sweep") * necessary(parts, [prompt]) / product.operations
    yield Row("trace of states", told, "GEMM peak, necessary operations", peak, ">= 0.65", ">= 0.8")


def sweep(parts: Parts, prompts: list[Prompt], what: str = "state") -> list[torch.Tensor]:
    traces = trace_prompts(parts, prompts, {what: restoration(what, parts.n_layers, WINDOW)})
    return [trace.restored[0] for trace in traces[what]]


def loop(parts: Parts, prompt: Prompt, what: str = "state") -> torch.Tensor:
    """Of one in `OF_LOOP` sites; NaN elsewhere."""
    with without_strata():
        return trace_batched(parts, prompt, what, WINDOW, OF_LOOP)


def of_loop(parts: Parts, prompt: Prompt) -> float:
    """Sites of a prompt for each that `loop` puts back."""
    n_sites = parts.n_layers * len(prompt.input_ids)
    return n_sites / len(range(0, n_sites, OF_LOOP))


def necessary(parts: Parts, prompts: list[Prompt]) -> float:
    """Operations of a trace of states that no arrangement avoids: those of the matrices and of attention.

    A restored run is the corrupted one below its own layer and before its position; in its own layer keys and
    values are the corrupted run's too, but for its own position's, which are the clean run's; in the last
    block only the last position is wanted, and of the others their keys and values.
    """
    n_layers, total = parts.n_layers, 0.0
    keys_values, others = _of_block(parts)
    queries = _of_queries(parts)
    readout = 2.0 * parts.unembedding.weight.numel()
    pair = 4.0 * parts.n_channels  # a query and a key: their product, and the values' sum
    for prompt in prompts:
        length, rows, first = len(prompt.input_ids), len(prompt.labels), prompt.subject[0]
        whole = (keys_values + queries + others) * length + pair * length * (length + 1) / 2
        total += (1 + rows) * (n_layers * whole + readout)
        for position in range(first, length):
            carried, seen = length - position, pair * (length * (length + 1) - position * (position + 1)) / 2
            own = others * carried + seen
            through = own + (keys_values + queries) * carried
            last = keys_values * carried + queries + others + pair * length
            # The embedding alone is put back where other tokens of the subject stay corrupted.
            shared = len(prompt.subject) > 1 and position in prompt.subject
            for layer in range(0 if shared else 1, n_layers):
                between = n_layers - 2 - layer
                site = own + between * through + last if between >= 0 else others + pair * length
                total += rows * (site + readout)
    return total


def _of_block(parts: Parts) -> tuple[float, float]:
    """Operations of one position in a block: its keys and values; all but these and the query."""
    whole = sum(2.0 * p.numel() for p in parts.blocks[0].parameters() if p.dim() == 2)
    keys_values = 4.0 * parts.n_channels * parts.n_channels * _share_of_keys(parts)
    return keys_values, whole - keys_values - _of_queries(parts)


def _of_queries(parts: Parts) -> float:
    return 2.0 * parts.n_channels**2


def _share_of_keys(parts: Parts) -> float:
    """Heads of keys by heads of queries."""
    config = parts.model.config
    return getattr(config, "num_key_value_heads", config.num_attention_heads) / config.num_attention_heads


def counted(parts: Parts, prompts: list[Prompt]) -> float:
    """Operations that the sweep really does, by torch's counter: of torch's own products, in one thread."""
    n = torch.get_num_threads()
    torch.set_num_threads(1)
    with without_strata(), FlopCounterMode(display=False) as counter:
        sweep(parts, prompts)
    torch.set_num_threads(n)
    return float(counter.get_total_flops())
