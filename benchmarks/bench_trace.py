"""The trace's sweep against the loop of one batched forward per site, in turns.

Random weights of GPT-2's architecture, in the organism's shape or GPT-2 small's; no weights are read.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from oracles.trace import trace_batched
from strata.model.architecture import find_parts
from strata.trace.corruption import Prompt
from strata.trace.sites import WHATS, restoration
from strata.trace.sweep import trace_prompts

SHAPES = {
    "organism": {"n_layer": 12, "n_embd": 128, "n_head": 4, "vocab_size": 4096},
    "gpt2": {"n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="organism")
    parser.add_argument("--what", nargs="+", choices=WHATS, default=WHATS)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--subject", type=int, default=1, help="position of the subject")
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--width", type=int, default=3, help="layers of a window")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = GPT2Config(**SHAPES[options.shape], bos_token_id=0, eos_token_id=0, attn_implementation="eager")
    parts = find_parts(GPT2LMHeadModel(config).eval().requires_grad_(False))
    ids = torch.randint(config.vocab_size, (options.tokens,)).tolist()
    prompt = Prompt(
        input_ids=ids,
        subject=[options.subject],
        labels=[("1", sample) for sample in range(options.samples)],
        corrupted_ids=np.array([[ids[options.subject]]] * options.samples),
        noise=np.random.default_rng(0).standard_normal((options.samples, 1, config.n_embd), np.float32),
        target_id=42,
    )

    def sweep(what: str) -> torch.Tensor:
        chosen = {what: restoration(what, parts.n_layers, options.width)}
        return trace_prompts(parts, [prompt], chosen)[what][0].restored[0]

    def loop(what: str) -> torch.Tensor:
        return trace_batched(parts, prompt, what, options.width)

    print(
        f"trace, {options.shape}, {options.tokens} tokens, subject at {options.subject}, "
        f"{options.samples} samples, windows of {options.width} layers:"
    )
    for what in options.what:
        seconds = {sweep: [], loop: []}
        results = {}
        sweep(what)  # warm up
        for _ in range(options.rounds):
            for engine, times in seconds.items():
                began = time.perf_counter()
                results[engine] = engine(what)
                times.append(time.perf_counter() - began)
        swept, looped = (statistics.median(seconds[engine]) for engine in (sweep, loop))
        apart = (
            (results[sweep].exp() - results[loop].exp()).nan_to_num().abs().max()
        )  # NaN before the subject
        print(
            f"  {what:>18}: loop {looped:.2f} s, sweep {swept:.2f} s, loop / sweep {looped / swept:.1f}; "
            f"largest difference in probability {apart:.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
