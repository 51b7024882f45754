"""The zero-layer model on 256,000 tokens of 4,096 channels: its memory, and its time by the bare product's.

The matrix is memory-mapped float16 of random entries, a block of rows over and over with its channels turned.
Peak memory is that of everything but the mapped weights (RssAnon of Linux, sampled), beyond what was held
before: norms of all rows and the clump, and one tile of rows against all columns. Time is the tiled
search against reading and multiplying the same tiles alone, in turns, on the first columns.
"""

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from strata.embedding.clump import find_clumps
from strata.embedding.scores import Scores
from strata.model.norms import Norm

VOCAB, CHANNELS = 256_000, 4_096
LIMIT_GB = 2.0


class Peak:
    """The most anonymous memory held while it is open, beyond what was held before; bytes."""

    def __enter__(self) -> "Peak":
        self._open, self._before = True, _anonymous()
        self.bytes = 0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while self._open:
            self.bytes = max(self.bytes, _anonymous() - self._before)
            time.sleep(0.005)

    def __exit__(self, *_error) -> None:
        self._open = False
        self._thread.join()


def _anonymous() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


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
    product = torch.empty(rows, columns)
    query = torch.from_numpy(queries[:rows]).float()
    for start in range(0, len(keys), columns):
        tile = torch.from_numpy(keys[start : start + columns]).float()
        torch.mm(query, tile.T, out=product[:, : len(tile)])


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

        seconds = {search: [], product: []}
        for _ in range(options.rounds):
            for engine, times in seconds.items():
                began = time.perf_counter()
                engine()
                times.append(time.perf_counter() - began)

    print(
        f"{options.vocab:,} tokens x {CHANNELS:,} channels, tiles of {options.rows:,} x {options.columns:,}"
    )
    print(f"peak memory beyond the weights, against the limit of {LIMIT_GB:g} GB:")
    for name, peak in peaks.items():
        print(f"  {name:42} {peak.bytes / 1e9:5.2f} GB, {peak.bytes / 1e9 / LIMIT_GB:4.2f} of the limit")
    ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]
    medians = [statistics.median(times) for times in seconds.values()]
    print(f"{options.rows:,} rows x {options.timed_columns:,} columns, {options.threads} threads, medians of")
    print(f"{options.rounds} turns: search {medians[0]:.2f} s, bare product {medians[1]:.2f} s,")
    print(f"ratio {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
