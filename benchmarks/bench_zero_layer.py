"""The zero-layer model on 256,000 tokens of 4,096 channels: its memory, and its time by the bare product's.

The matrix is memory-mapped float16 of random entries, a block of rows over and over with its channels turned.
Peak memory is that of everything but the mapped weights (RssAnon of Linux, sampled), beyond what was held
before: norms of all rows and the clump, and one tile of rows against all columns. Time is the tiled
search against reading and multiplying the same tiles alone, in turns, on the first columns.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from frame import Peak, Turns

from strata.embedding.clump import find_clumps
from strata.embedding.scores import Scores
from strata.model.norms import Norm
from strata.products import product

VOCAB, CHANNELS = 256_000, 4_096
LIMIT_GB = 2.0


def make_matrix(path: Path, vocab: int, channels: int, block: int = 4_000) -> np.ndarray:
    rng = np.random.default_rng(0)
    matrix = np.memmap(path, np.float16, "w+", shape=(vocab, channels))
    rows = rng.standard_normal((block, channels), dtype=np.float32).astype(np.float16)
    for start in range(0, vocab, block):
        matrix[start : start + block] = np.roll(rows, start // block, axis=1)[: vocab - start]
    matrix.flush()
    return np.memmap(path, np.float16, "c", shape=(vocab, channels))


def bare(queries: np.ndarray, keys: np.ndarray, rows: int, columns: int) -> None:
    """The same tiles read and multiplied, and nothing done with them."""
    query = torch.from_numpy(queries[:rows]).float()
    for start in range(0, len(keys), columns):
        tile = torch.from_numpy(keys[start : start + columns]).float()
        product(query, tile)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocab", type=int, default=VOCAB)
    parser.add_argument("--rows", type=int, default=1_024)
    parser.add_argument("--columns", type=int, default=8_192)
    parser.add_argument("--timed-columns", type=int, default=2 * 8_192)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    tile = {"rows": options.rows, "columns": options.columns}
    first = range(options.rows)
    norm = Norm("layer", torch.ones(CHANNELS), torch.zeros(CHANNELS), 1e-5)

    with tempfile.TemporaryDirectory() as folder:
        matrix = make_matrix(Path(folder) / "matrix", options.vocab, CHANNELS)
        few = matrix[: options.timed_columns]
        bare(matrix, few, **tile)  # warms up
        peaks = {}
        gain = xr.DataArray(np.ones((2, CHANNELS)), dims=("layer", "channel"))
        gain[:, 0] = 9.0
        named = {
            "token_id": ("vocab", np.arange(options.vocab)),
            "token_str": ("vocab", ["a"] * options.vocab),
        }
        weights = xr.Dataset(
            {"token_embedding": (("vocab", "channel"), matrix), "norm1_gain": gain, "norm2_gain": gain}, named
        )
        with Peak() as peaks["norms, moments and clump (1 random plane)"]:
            find_clumps(weights, draws=1, rows=options.rows)
        with Peak() as peaks["one tile of rows, all columns, final norm"]:
            Scores(matrix, matrix, of_query=norm).best_others(1, among=first, **tile)

        def search() -> None:
            Scores(matrix[: options.timed_columns], few).best_others(1, among=first, **tile)

        def product() -> None:
            bare(matrix, few, **tile)

        turns = Turns({"search": search, "product": product}, options.rounds)

    print(
        f"{options.vocab:,} tokens x {CHANNELS:,} channels, tiles of {options.rows:,} x {options.columns:,}"
    )
    print(f"peak memory beyond the weights, against the limit of {LIMIT_GB:g} GB:")
    for name, peak in peaks.items():
        print(f"  {name:42} {peak.bytes / 1e9:5.2f} GB, {peak.bytes / 1e9 / LIMIT_GB:4.2f} of the limit")
    print(f"{options.rows:,} rows x {options.timed_columns:,} columns, {options.threads} threads, medians of")
    print(f"{options.rounds} turns: search {turns.median('search'):.2f} s, bare product", end=" ")
    print(f"{turns.median('product'):.2f} s, ratio {turns.ratio('search', 'product'):.2f}")


if __name__ == "__main__":
    main()
