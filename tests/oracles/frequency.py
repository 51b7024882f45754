"""Rank correlations in plain loops, and embeddings whose relation to frequency is known on paper."""

import numpy as np
import pandas as pd
import xarray as xr


def ranks(values) -> list[float]:
    """From 1; equal values share the mean of their ranks."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def pearson(x, y) -> float:
    x, y = np.asarray(x) - np.mean(x), np.asarray(y) - np.mean(y)
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def spearman(x, y) -> float:
    return pearson(ranks(x), ranks(y))


def partial(x, y, *given) -> float:
    """Correlation of what regression of ranks on the given ones' ranks leaves."""
    design = np.column_stack([np.ones(len(x)), *map(ranks, given)])

    def left(values):
        rank = np.array(ranks(values))
        return rank - design @ np.linalg.lstsq(design, rank, rcond=None)[0]

    return pearson(left(x), left(y))


def make_weights(matrix: np.ndarray, gains: np.ndarray | None = None, ids=None) -> xr.Dataset:
    """Weights of a model with the given token matrix; every second token has a leading space."""
    n_vocab, n_channels = matrix.shape
    if gains is None:
        gains = np.exp(0.05 * np.random.default_rng(9).normal(size=(2, 3, n_channels)))
    strings = [("Ġ" if i % 2 else "") + f"t{i}" for i in range(n_vocab)]
    return xr.Dataset(
        {
            "token_embedding": (("vocab", "channel"), matrix.astype("float32")),
            "norm1_gain": (("layer", "channel"), gains[0]),
            "norm2_gain": (("layer", "channel"), gains[1]),
        },
        coords={
            "token_id": ("vocab", np.arange(n_vocab) if ids is None else ids),
            "token_str": ("vocab", strings),
        },
    )


def make_counts(n_vocab: int, seed: int = 5, unseen: int = 0) -> pd.DataFrame:
    """Counts over three decades in random order, the last ``unseen`` tokens zero."""
    rng = np.random.default_rng(seed)
    count = np.floor(10 ** rng.uniform(0, 3, n_vocab)).astype(int)
    if unseen:
        count[-unseen:] = 0
    return pd.DataFrame({"token_id": range(n_vocab), "count": count})
