"""Rows of the zero layer: the best matches of all tokens against reading and multiplying the same tiles."""

from collections.abc import Iterator

import numpy as np
import torch
from frame import Row, Turns
from shapes import SHAPES

from strata.embedding.scores import Scores

VOCABULARIES = ((50_257, None), (262_144, 640))
"""Tokens, and channels where they are not the shape's."""

ROWS, COLUMNS = 1024, 8192


def rows(shape: str, rounds: int, quick: bool) -> Iterator[Row]:
    for vocab, channels in VOCABULARIES[: 1 if quick else None]:
        matrix = np.random.default_rng(0).standard_normal(
            (vocab, channels or SHAPES[shape].hidden_size), "f4"
        )
        some = range(ROWS)
        out = torch.empty(ROWS, COLUMNS)

        def bare(matrix=matrix, out=out) -> None:
            query = torch.from_numpy(matrix[:ROWS])
            for tile in torch.from_numpy(matrix).split(COLUMNS):
                torch.mm(query, tile.T, out=out[:, : len(tile)])

        def search(matrix=matrix, some=some) -> None:
            Scores(matrix, matrix).best_others(1, rows=ROWS, columns=COLUMNS, among=some)

        turns = Turns({"product": bare, "search": search}, rounds)
        told = f"{vocab:,} tokens x {matrix.shape[1]} channels"
        yield Row("zero layer", told, "bare tiled product", turns.ratio("search", "product"), "<= 1.25")
