"""The trace's sweep against the loop of one batched forward per site, in turns.

Random weights of GPT-2 small's shape; no weights are read.
"""

import argparse
import statistics
import time

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from oracles.trace import trace_batched
from strata.architecture import find_parts
from strata.trace import trace_states


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--subject", type=int, default=1, help="position of the subject")
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(attn_implementation="eager")).eval().requires_grad_(False)
    parts = find_parts(model)
    ids = torch.randint(model.config.vocab_size, (options.tokens,)).tolist()
    noise = torch.randn(options.samples, 1, model.config.n_embd)

    def sweep() -> torch.Tensor:
        return trace_states(parts, ids, [options.subject], 42, noise).logp_restored

    def loop() -> torch.Tensor:
        return trace_batched(model, parts.token_embedding, parts.blocks, ids, [options.subject], 42, noise)

    seconds = {sweep: [], loop: []}
    results = {}
    sweep()  # warm up
    for _ in range(options.rounds):
        for engine, times in seconds.items():
            began = time.perf_counter()
            results[engine] = engine()
            times.append(time.perf_counter() - began)
    medians = {engine.__name__: statistics.median(times) for engine, times in seconds.items()}
    apart = (results[sweep].exp() - results[loop].exp()).nan_to_num().abs().max()  # NaN before the subject
    print(f"trace, {options.tokens} tokens, subject at {options.subject}, {options.samples} samples:")
    print(f"  loop {medians['loop']:.2f} s, sweep {medians['sweep']:.2f} s, loop / sweep ", end="")
    print(f"{medians['loop'] / medians['sweep']:.1f}; largest difference in probability {apart:.1e}")


if __name__ == "__main__":
    main()
