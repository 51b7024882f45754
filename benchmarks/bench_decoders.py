"""What the decoders cost compared with a lower bound, in turns; random weights.

- tuned: a training step against the two matrix products of every state with the unembedding (logits,
  and their gradient back), and against plain autograd over the whole vocabulary. GPT-2 small's shape.
- jacobian: averaged Jacobians of every depth and half-depth against as many backward passes from the
  last depth to the embedding alone.
- extended: all depths, half-depths and updates through the last two blocks against the bare blocks on
  the same rows.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from strata.lens import jacobian
from strata.lens.extended import carry_through
from strata.lens.tuned import KLFromFinal
from strata.model.architecture import find_parts
from strata.model.norms import Norm
from strata.model.readout import LogitDecoder


def in_turns(engines: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each engine over interleaved rounds, after one to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for turn in range(rounds + 1):
        for name, engine in engines.items():
            began = time.perf_counter()
            engine()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in seconds.items()}


def report(what: str, medians: dict[str, float], base: str) -> None:
    print(what)
    for name, median in medians.items():
        print(f"  {name:32} {median:7.2f} s, {median / medians[base]:5.2f} x {base}")


def bench_tuned(rounds: int) -> None:
    channels, vocab, depths, tokens = 768, 50257, 4, 128
    unembedding = torch.randn(vocab, channels) * 0.1
    decoder = LogitDecoder(Norm("layer", torch.ones(channels), torch.zeros(channels), 1e-5), unembedding)
    stream = torch.randn(depths, tokens, channels)
    weights = [torch.eye(channels).requires_grad_() for _ in range(depths)]
    final = decoder.logits(torch.randn(tokens, channels)).softmax(-1)

    def products() -> None:
        for states in stream:
            (states @ unembedding.T) @ unembedding

    def step() -> None:
        for states, weight in zip(stream, weights, strict=True):
            rows = decoder.norm(states @ weight.T)
            KLFromFinal.apply(rows, decoder, final).mean().backward()

    def autograd() -> None:
        for states, weight in zip(stream, weights, strict=True):
            logq = decoder.logits(states @ weight.T).log_softmax(-1)
            torch.nn.functional.kl_div(logq, final, reduction="batchmean").backward()

    engines = {"bare products": products, "training step": step, "plain autograd": autograd}
    what = f"tuned: {depths} depths x {tokens} tokens x {vocab} entries"
    report(what, in_turns(engines, rounds), "bare products")


def small_model(layers: int, channels: int, heads: int) -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=4096,
        n_positions=128,
        n_embd=channels,
        n_layer=layers,
        n_head=heads,
        bos_token_id=None,
        eos_token_id=None,
    )
    config._attn_implementation = "eager"
    return GPT2LMHeadModel(config).eval().requires_grad_(False)


def bench_jacobian(rounds: int) -> None:
    layers, channels, length, n_documents = 12, 64, 32, 8
    parts = find_parts(small_model(layers, channels, 4))
    documents = torch.randint(4096, (n_documents, length)).tolist()

    def fit() -> None:
        jacobian.fit(parts, documents, skip=4)

    def plain() -> None:
        embedded = parts.embed(torch.tensor(documents)).requires_grad_()
        hidden = embedded
        for layer in range(layers):
            hidden = parts.run_block(layer, hidden, 0)
        for channel in range(channels):
            torch.autograd.grad(hidden[..., channel].sum(), embedded, retain_graph=True)

    what = f"jacobian: {2 * layers} depths, {channels} channels, {n_documents} documents of {length} tokens"
    report(what, in_turns({"plain backward passes": plain, "fit": fit}, rounds), "plain backward passes")


def bench_extended(rounds: int) -> None:
    layers, channels, length, n_prompts, last = 12, 768, 24, 2, 2
    parts = find_parts(small_model(layers, channels, 12))
    stream = torch.randn(2 * layers + 1, n_prompts * length, channels)
    updates = torch.randn(2 * layers, n_prompts * length, channels)
    carry = carry_through(parts, last)
    inside = 2 * (layers - last) + 1
    rows = torch.cat([stream[:inside], updates]).view(-1, length, channels)
    mask = torch.full((length, length), torch.finfo(torch.float32).min).triu(1)[None, None]

    def extended() -> None:
        carry(stream, updates, [length] * n_prompts)

    @torch.inference_mode()
    def bare() -> None:
        hidden = rows
        for block in parts.blocks[-last:]:
            hidden = block(hidden, attention_mask=mask)

    what = f"extended: {len(rows)} rows of {length} tokens through {last} of {layers} blocks"
    report(what, in_turns({"bare blocks": bare, "extended": extended}, rounds), "bare blocks")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    bench_tuned(options.rounds)
    bench_jacobian(options.rounds)
    bench_extended(options.rounds)


if __name__ == "__main__":
    main()
