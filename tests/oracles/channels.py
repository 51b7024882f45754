"""Weights whose channels are known: means, groups, exceptions; and slow statistics of such weights."""

import numpy as np
import xarray as xr

WIDTH, VOCAB, POSITIONS, LAYERS = 300, 500, 128, 6
ACTIVE = np.arange(200, 260)
OUTLIERS = {7: 6, 210: 4}  # channel: number of layers whose norm before attention turns it up


def planted(seed: int = 0) -> xr.Dataset:
    """Sixty channels carry position: their position part is 30 times as wide, their token part half as wide
    and further from 0, and the first norm dials them down to a quarter. Of the others, channel 5 is the
    widest over tokens and channel 6 the furthest off in the mean.
    """
    rng = np.random.default_rng(seed)
    active = np.isin(np.arange(WIDTH), ACTIVE)
    position_std = np.where(active, 0.3, 0.01) * 10 ** rng.normal(0, 0.1, WIDTH)
    token_std = np.where(active, 0.05, 0.1) * 10 ** rng.normal(0, 0.02, WIDTH)
    token_mean = np.where(active, 0.2, 0.03) * rng.choice([-1, 1], WIDTH) * 10 ** rng.normal(0, 0.1, WIDTH)
    token_std[5], token_mean[6] = 2.0, 3.0
    gains = np.exp(0.05 * rng.normal(size=(2, LAYERS, WIDTH)))
    gains[0, 0, active] /= 4
    for channel, layers in OUTLIERS.items():
        gains[0, 1 : 1 + layers, channel] = -20.0
    return _weights(token_mean, token_std, position_std, gains, rng)


def random(seed: int = 0) -> xr.Dataset:
    """Independent normal entries throughout."""
    rng = np.random.default_rng(seed)
    same = np.full(WIDTH, 0.1)
    return _weights(0 * same, same, same, np.exp(0.05 * rng.normal(size=(2, LAYERS, WIDTH))), rng)


def _weights(token_mean, token_std, position_std, gains, rng) -> xr.Dataset:
    tokens = token_mean + token_std * rng.normal(size=(VOCAB, WIDTH))
    positions = position_std * rng.normal(size=(POSITIONS, WIDTH))
    return xr.Dataset(
        {
            "token_embedding": (("vocab", "channel"), tokens.astype("float32")),
            "position_embedding": (("position", "channel"), positions.astype("float32")),
            "norm1_gain": (("layer", "channel"), gains[0].astype("float32")),
            "norm2_gain": (("layer", "channel"), gains[1].astype("float32")),
        },
        coords={
            "token_id": ("vocab", np.arange(VOCAB)),
            "token_str": ("vocab", [f"t{i}" for i in range(VOCAB)]),
        },
    )


def shares_of_variance(matrix: np.ndarray) -> tuple[float, float]:
    """What lies between the means of columns, and between those of rows, of the sum of squares."""
    n_rows, n_columns = matrix.shape
    grand = sum(float(x) for x in matrix.flat) / matrix.size
    total = sum((float(x) - grand) ** 2 for x in matrix.flat)
    columns = sum(n_rows * (float(matrix[:, j].mean()) - grand) ** 2 for j in range(n_columns))
    rows = sum(n_columns * (float(matrix[i].mean()) - grand) ** 2 for i in range(n_rows))
    return columns / total, rows / total


def ranks(values) -> list[float]:
    """Ranks from 1, ties at their mean, by counting."""
    return [sum(w < v for w in values) + (sum(w == v for w in values) + 1) / 2 for v in values]


def spearman(x, y) -> float:
    return float(np.corrcoef(ranks(list(x)), ranks(list(y)))[0, 1])


def chance_of_larger(one, other) -> float:
    """That a value of one sample is larger than one of the other, ties half."""
    wins = sum((a > b) + 0.5 * (a == b) for a in one for b in other)
    return wins / (len(one) * len(other))
