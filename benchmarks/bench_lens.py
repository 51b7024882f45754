"""The lens against the bare matrix product of all states with the unembedding, in turns.

GPT-2 small's shape, random weights. The product is what no lens can avoid. Beside them, on a few of
the tokens, the obvious way: whole-vocabulary softmax in numpy (tests/oracles/lens.py, in float32).
"""

import argparse
import statistics
import time

import numpy as np
import torch

from oracles import lens as oracle
from strata.lens.readout import read_out
from strata.model.norms import Norm
from strata.model.readout import LogitDecoder

DEPTHS, CHANNELS, VOCAB = 13, 768, 50257


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--oracle-tokens", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    resid = torch.randn(DEPTHS, options.tokens, CHANNELS)
    unembedding = torch.randn(VOCAB, CHANNELS) * 0.1
    gain, shift = torch.ones(CHANNELS), torch.zeros(CHANNELS)
    decoder = LogitDecoder(Norm("layer", gain, shift, 1e-5), unembedding)
    input_ids, target_ids = torch.randint(VOCAB, (2, options.tokens))
    rows = resid.reshape(-1, CHANNELS)
    product = torch.empty(len(rows), VOCAB)
    few = slice(options.oracle_tokens)

    def bare() -> None:
        torch.mm(rows, unembedding.T, out=product)

    def eager() -> None:
        read_out(resid, decoder, input_ids, target_ids, top_k=10, compile_from=np.inf)

    def compiled() -> None:
        read_out(resid, decoder, input_ids, target_ids, top_k=10, compile_from=0)

    def obvious() -> None:
        oracle.read_out(
            resid[:, few].numpy(),
            lambda x: oracle.layer_norm(x, gain.numpy(), shift.numpy(), np.float32(1e-5)),
            unembedding.numpy(),
            np.float32(0),
            input_ids[few].numpy(),
            target_ids[few].numpy(),
        )

    scale = {obvious: options.tokens / options.oracle_tokens}
    seconds = {engine: [] for engine in (bare, eager, compiled, obvious)}
    for turn in range(options.rounds + 1):
        for engine, times in seconds.items():
            began = time.perf_counter()
            engine()
            took = time.perf_counter() - began
            if turn:  # the first round warms up and compiles
                times.append(took * scale.get(engine, 1))
            elif engine is compiled:
                print(f"first call with compiling: {took:.1f} s")
    medians = {engine.__name__: statistics.median(times) for engine, times in seconds.items()}
    print(f"lens, {options.tokens} tokens x {DEPTHS} depths x {VOCAB} entries, {options.threads} threads,")
    print(f"medians of {options.rounds} interleaved rounds ('obvious' from {options.oracle_tokens} tokens):")
    for name, median in medians.items():
        print(f"  {name:8} {median:7.2f} s, {median / medians['bare']:5.2f} x the bare product")
    print(f"  obvious / eager {medians['obvious'] / medians['eager']:.1f}")


if __name__ == "__main__":
    main()
