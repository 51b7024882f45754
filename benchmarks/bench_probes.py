"""Probes compared with a lower bound on their cost, the bare matrix products, in turns.

Random states of the organism's shape, one depth, one target. What cannot be avoided: for the closed form
the float64 product of the states with themselves; for scoring that of the held-out states with the rows
of all classes; for an epoch of the refinement that of every batch with the rows, and of its gradient
with the batch.
"""

import argparse
import statistics
import time

import numpy as np
import torch

from strata.probes.linear import BATCH, Moments, fit, refine

CHANNELS, CLASSES = 128, 3000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=20_000, help="tokens")
    parser.add_argument("--test", type=int, default=4_000, help="tokens")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    # Token frequencies fall as in text, and every token occurs.
    often = torch.multinomial(1 / torch.arange(1, CLASSES + 1), options.train - CLASSES, replacement=True)
    labels = torch.cat([torch.arange(CLASSES), often])
    means = torch.randn(CLASSES, CHANNELS)
    states = means[labels] + torch.randn(options.train, CHANNELS)
    held_out = torch.randn(options.test, CHANNELS)
    classes = np.arange(CLASSES)
    sums = Moments.of(states, labels, CLASSES)
    double = states.double()
    probe = fit(sums, classes)
    scores, gradient = torch.empty(1024, CLASSES), torch.empty(BATCH, CLASSES)

    def bare_fit() -> None:
        double.T @ double

    def closed_form() -> None:
        fit(Moments.of(states, labels, CLASSES), classes)

    def bare_scores() -> None:
        for rows in held_out.split(len(scores)):
            torch.mm(rows, probe.weight.T, out=scores[: len(rows)])

    def scoring() -> None:
        probe(held_out)

    def bare_epoch() -> None:
        for rows in states.split(BATCH):
            torch.mm(rows, probe.weight.T, out=gradient[: len(rows)])
            gradient[: len(rows)].T @ rows

    def epoch() -> None:
        refine(probe, sums, states, labels, epochs=1, seed=0)

    pairs = {"closed form": (bare_fit, closed_form), "scoring": (bare_scores, scoring)}
    pairs["epoch"] = (bare_epoch, epoch)
    seconds = {engine: [] for pair in pairs.values() for engine in pair}
    for turn in range(options.rounds + 1):
        for engine, times in seconds.items():
            began = time.perf_counter()
            engine()
            if turn:  # the first round warms up
                times.append(time.perf_counter() - began)
    told = f"{options.train} and {options.test} tokens x {CHANNELS} channels x {CLASSES} classes"
    print(f"probes, {told}, {options.threads} threads,")
    print(f"medians of {options.rounds} interleaved rounds, ms:")
    for name, pair in pairs.items():
        bare, own = (1000 * statistics.median(seconds[engine]) for engine in pair)
        print(f"  {name:11} {own:7.1f}, {own / bare:5.2f} x the bare products ({bare:.1f})")


if __name__ == "__main__":
    main()
