"""Rows of the zero layer: the best matches of all tokens against reading and multiplying the same tiles."""

from collections.abc import Iterator

import numpy as np
import torch
from frame import Row, Turns
from shapes import SHAPES

from strata.embedding.scores import ON_GPU, Scores
from strata.products import product

VOCABULARIES = ((50_257, None), (262_144, 640))
"""Tokens, and channels where they are not the shape's."""

ROWS, COLUMNS = 1024, 4096


def rows(shape: str, device: torch.device, rounds: int, quick: bool) -> Iterator[Row]:
    for vocab, channels in VOCABULARIES[: 1 if quick else None]:
        matrix = np.random.default_rng(0).standard_normal(
            (vocab, channels or SHAPES[shape].hidden_size), "f4"
        )
        n_rows = ROWS * (1 if device.type == "cpu" else ON_GPU)
        keys = torch.from_numpy(matrix).to(device)

        def bare(keys=keys, n_rows=n_rows) -> None:
            for tile in keys.split(COLUMNS):
                product(keys[:n_rows], tile)

        def search(matrix=matrix, some=range(n_rows)) -> None:
            Scores(matrix, matrix).best_others(1, rows=ROWS, columns=COLUMNS, device=str(device), among=some)

        turns = Turns({"product": bare, "search": search}, rounds)
        told = f"{vocab:,} tokens x {matrix.shape[1]} channels"
        yield Row("zero layer", told, "bare tiled product", turns.ratio("search", "product"), "<= 1.25")
