"""The lens against the bare matrix product of all states with the unembedding, in turns."""

import argparse
import statistics
import time

import torch
from strata.decoders import LogitDecoder, Norm
from strata.lens import read_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tile", type=int, default=16)
    parser.add_argument("--chunk", type=int, default=2048)
    parser.add_argument("--eager", action="store_true", help="do not compile the reduction")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    depths, channels, vocab = 13, 768, 50257  # GPT-2 small
    resid = torch.randn(depths, options.tokens, channels)
    unembedding = torch.randn(vocab, channels) * 0.1
    decoder = LogitDecoder(Norm("layer", torch.ones(channels), torch.zeros(channels), 1e-5), unembedding)
    ids = torch.randint(vocab, (2, options.tokens))
    rows = resid.reshape(-1, channels)
    product = torch.empty(len(rows), vocab)

    def bare() -> None:
        torch.mm(rows, unembedding.T, out=product)

    def lens() -> None:
        read_out(
            resid, decoder, *ids, top_k=10, tile=options.tile, chunk=options.chunk, compiled=not options.eager
        )

    seconds = {bare: [], lens: []}
    for turn in range(options.rounds + 1):
        for engine, times in seconds.items():
            began = time.perf_counter()
            engine()
            if turn:  # the first round warms up and compiles
                times.append(time.perf_counter() - began)
    medians = {engine.__name__: statistics.median(times) for engine, times in seconds.items()}
    ratio = medians["lens"] / medians["bare"]
    print(f"lens, {options.tokens} tokens x {depths} depths x {vocab} entries:")
    print(f"  bare product {medians['bare']:.2f} s, lens {medians['lens']:.2f} s, lens / bare {ratio:.2f}")


if __name__ == "__main__":
    main()
