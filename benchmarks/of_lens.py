"""Rows of the lens: all readouts of all depths against the bare matrix product, and against plain numpy.

Reductions are compiled, as they are in a run of more logits (`strata.lens.readout.COMPILE_FROM`); compiling,
which takes some seconds, is not in the time.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from frame import Peak, Row, Turns
from shapes import SHAPES, random_decoder

from oracles import lens as oracle
from strata.lens.readout import read_out
from strata.products import product

LENGTHS = (128, 512)
TILE, ON_GPU = (512, 4096), (8192, 8192)
OF_ORACLE = 4
"""Tokens that plain numpy is given; its time is in proportion."""


def rows(shape: str, device: torch.device, rounds: int, quick: bool) -> Iterator[Row]:
    config = SHAPES[shape]
    depths, channels, vocab = config.num_hidden_layers + 1, config.hidden_size, config.vocab_size
    decoder = random_decoder(channels, vocab, device)
    for length in LENGTHS[: 1 if quick else None]:
        stream = torch.randn(depths, length, channels, device=device)
        ids = torch.randint(vocab, (2, length), device=device)
        told = f"{shape}, {depths} depths, {length} tokens"

        def lens(stream=stream, ids=ids) -> None:
            read_out(stream, decoder, *ids, top_k=10, compile_from=0)

        def numpy(stream=stream, ids=ids) -> None:
            oracle.read_out(
                stream[:, :OF_ORACLE].numpy(),
                lambda x: oracle.layer_norm(x, decoder.norm.gain.numpy(), 0, np.float32(1e-5)),
                decoder.unembedding.numpy(),
                np.float32(0),
                *ids[:, :OF_ORACLE].numpy(),
            )

        on_cpu = device.type == "cpu"
        bare = bare_product(stream.flatten(0, 1), decoder.unembedding)
        turns = Turns({"product": bare, "lens": lens} | ({"numpy": numpy} if on_cpu else {}), rounds)
        yield Row("lens", told, "bare product", turns.ratio("lens", "product"), "<= 1.4", "<= 1.2")
        if not on_cpu:
            continue
        faster = turns.ratio("numpy", "lens") * length / OF_ORACLE
        yield Row("lens", told, "whole vocabulary in numpy", faster, ">= 10")
        with Peak() as peak:
            lens()
        yield Row("lens", told, "MB above the model", peak.bytes / 1e6, "<= 100")


def bare_product(rows: torch.Tensor, matrix: torch.Tensor) -> Callable[[], None]:
    """A product of rows with the rows of a matrix of which nothing is kept, in tiles that suit a cache."""
    size = TILE if rows.device.type == "cpu" else ON_GPU

    def multiply() -> None:
        for some in rows.split(size[0]):
            for others in matrix.split(size[1]):
                product(some, others)

    return multiply
