"""How the time of each engine grows: each size doubled in turn, compared with what is expected.

The exponent is the slope of log time in log size over the three largest, where what is constant weighs least:
1 is proportional, 2 quadratic. Random models and texts; ends are medians over rounds in turns.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from frame import Turns
from of_extraction import extract
from of_trace import sweep
from shapes import gpt2, model_of, random_decoder, random_prompt

from strata.embedding.scores import Scores
from strata.lens import jacobian
from strata.lens.readout import read_out
from strata.lens.tuned import Training, Whitening
from strata.model.architecture import Parts
from strata.probes.linear import Moments, fit, refine


@dataclass(frozen=True)
class Size:
    prompts: int = 4
    tokens: int = 8
    depth: int = 4
    channels: int = 128
    vocabulary: int = 4096
    samples: int = 4

    def model(self) -> Parts:
        return model_of(gpt2(self.depth, self.channels, self.channels // 64, self.vocabulary))

    def texts(self) -> list[list[int]]:
        return torch.randint(self.vocabulary, (self.prompts, self.tokens)).tolist()

    def stream(self) -> torch.Tensor:
        return torch.randn(self.depth + 1, self.prompts * self.tokens, self.channels)


def trace(size: Size) -> Callable[[], object]:
    parts = size.model()
    prompts = [random_prompt(parts, size.tokens, size.samples) for _ in range(size.prompts)]
    return lambda: sweep(parts, prompts)


def lens(size: Size) -> Callable[[], object]:
    decoder, stream = random_decoder(size.channels, size.vocabulary), size.stream()
    ids = torch.randint(size.vocabulary, (2, stream.shape[1]))
    return lambda: read_out(stream, decoder, *ids, top_k=10)


def extraction(size: Size) -> Callable[[], object]:
    parts, texts, folder = size.model(), size.texts(), tempfile.TemporaryDirectory()
    return lambda: extract(parts, texts, "float32", Path(folder.name))


def tuned_step(size: Size) -> Callable[[], object]:
    decoder, stream = random_decoder(size.channels, size.vocabulary), size.stream()
    whitening = Whitening.of([torch.randn(size.depth + 1, 3 * size.channels, size.channels)])
    training = Training(whitening, decoder, 10**6, 1e-3)
    return lambda: training.step(stream)


def jacobians(size: Size) -> Callable[[], object]:
    parts, texts = size.model(), size.texts()
    return lambda: jacobian.fit(parts, texts, skip=2)


def probes(size: Size) -> Callable[[], object]:
    n_tokens = 64 * size.prompts * size.tokens
    labels = torch.arange(n_tokens) % (size.vocabulary // 4)
    states = torch.randn(n_tokens, size.channels) + torch.randn(len(labels.unique()), size.channels)[labels]
    classes = np.unique(labels)

    def both() -> None:
        sums = Moments.of(states, labels, len(classes))
        refine(fit(sums, classes), sums, states, labels, epochs=1, seed=0)

    return both


def zero_layer(size: Size) -> Callable[[], object]:
    matrix = np.random.default_rng(0).standard_normal((size.vocabulary, size.channels), "f4")
    return lambda: Scores(matrix, matrix).best_others(1)


EXPECTED = {
    trace: {
        "prompts": (1, "each is traced by itself"),
        "tokens": (2, "a site for every position, and each carries the positions after it"),
        "depth": (2, "a site for every layer, and each runs through the layers after it"),
        "channels": (2, "matrices of channels by channels; below 2 where rows are short"),
        "vocabulary": (
            1,
            "only the readout of each run has to do with it: far below 1 while layers dominate",
        ),
        "samples": (1, "a row for each"),
    },
    lens: {
        "tokens": (1, "each is decoded by itself"),
        "depth": (1, "each is decoded by itself; the ranks of all guesses add a second, small one"),
        "channels": (1, "one product with the unembedding; reductions of logits have none"),
        "vocabulary": (1, "one pass over the logits"),
    },
    extraction: {
        "prompts": (1, "each token runs once"),
        "tokens": (1, "attention's square is small at these lengths"),
        "depth": (1, "one layer after the other"),
        "channels": (2, "matrices of channels by channels; what is written has one"),
        "vocabulary": (1, "the next token's probability: below 1 while layers dominate"),
    },
    tuned_step: {
        "tokens": (1, "each is decoded by itself"),
        "depth": (1, "a map for each"),
        "channels": (1, "logits and their gradient; maps have two"),
        "vocabulary": (1, "one pass over the logits"),
    },
    jacobians: {
        "prompts": (1, "each is run by itself"),
        "tokens": (1, "attention's square is small at these lengths"),
        "depth": (1, "one layer after the other, backwards"),
        "channels": (3, "a backward pass for each, through matrices of channels by channels"),
    },
    probes: {
        "tokens": (1, "moments, and a step for each batch"),
        "channels": (2, "outer products of states; scores have one"),
        "vocabulary": (1, "a row of weights for each class"),
    },
    zero_layer: {
        "channels": (1, "one product; the search for the best has none"),
        "vocabulary": (2, "every token with every other"),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", nargs="+", default=[engine.__name__ for engine in EXPECTED])
    parser.add_argument("--doublings", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    factors = [2**n for n in range(options.doublings + 1)]
    print("| engine | size | from | to | seconds | exponent | at most | why |")
    print("| --- | --- | ---: | ---: | --- | ---: | ---: | --- |")
    for engine, axes in EXPECTED.items():
        for axis, (exponent, why) in axes.items() if engine.__name__ in options.engines else ():
            torch.manual_seed(0)
            values = [getattr(Size(), axis) * factor for factor in factors]
            runs = {value: engine(replace(Size(), **{axis: value})) for value in values}
            turns = Turns(runs, options.rounds)
            seconds = [turns.median(value) for value in values]
            found = np.polyfit(np.log(values[-3:]), np.log(seconds[-3:]), 1)[0]
            told = " ".join(f"{each:.3g}" for each in seconds)
            row = (engine.__name__, axis, values[0], values[-1], told, f"{found:.1f}", exponent, why)
            print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
