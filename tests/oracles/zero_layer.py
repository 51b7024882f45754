"""The zero-layer model in plain loops, and weights whose exceptions, attractor and clump are known."""

import numpy as np
import xarray as xr

N_CHANNELS = 64
N_PLAIN = 400
PAIRS = {  # token, what it is made to call for, and the kind
    "Ġriver": ("river", "space removed"),
    "Ġlake": ("lake", "space removed"),
    "Ġhill": ("hill", "space removed"),
    "stone": ("Ġstone", "space added"),
    "wood": ("Ġwood", "space added"),
    "iron": ("Ġiron", "space added"),
    "Paris": ("paris", "case"),
    "ĠBERLIN": ("Berlin", "case"),
    "rome": ("Rome", "case"),
    "Ġunderst": ("Ġunderstanding", "fragment"),
    "berry": ("Ġblackberry", "fragment"),
    "Ġquickly": ("kly", "fragment"),
    "âĢ": ("ĠâĤ¬", "unprintable bytes"),
    "Ġsnow": ("Å", "to unprintable bytes"),
    "Ġcat": ("Ġtable", "other"),
}
ATTRACTOR, N_ATTRACTED = "ĠLONG", 25


# Loops --------------------------------------------------------------------------------------


def called_for(queries: np.ndarray, keys: np.ndarray, bias=None) -> list[int]:
    """The row of the best score of each query; the token itself where it ties, then the first."""
    rows = []
    for i, query in enumerate(queries.astype(float)):
        best = i
        for j, key in enumerate(keys.astype(float)):
            if _score(query, key, j, bias) > _score(query, keys[best].astype(float), best, bias):
                best = j
        rows.append(best)
    return rows


def _score(query, key, j, bias) -> float:
    return float((query * key).sum() + (0 if bias is None else bias[j]))


def layer_norm(rows: np.ndarray, gain, bias, eps) -> np.ndarray:
    rows = rows.astype(float)
    centred = rows - rows.mean(1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(1, keepdims=True) + eps) * gain + bias


def rms_norm(rows: np.ndarray, gain, eps) -> np.ndarray:
    rows = rows.astype(float)
    return rows / np.sqrt((rows**2).mean(1, keepdims=True) + eps) * gain


def nearest(rows: np.ndarray, k: int, centred: bool) -> list[list[int]]:
    """Rows of the ``k`` others of the highest cosine."""
    rows = rows.astype(float) - (rows.astype(float).mean(0) if centred else 0)
    found = []
    for i, x in enumerate(rows):
        cosine = {j: x @ y / np.sqrt((x @ x) * (y @ y)) for j, y in enumerate(rows) if j != i}
        found.append(sorted(cosine, key=cosine.get, reverse=True)[:k])
    return found


# Planted weights ----------------------------------------------------------------------------


def weights(
    embedding: np.ndarray,
    tokens: list[str] | None = None,
    unembedding: np.ndarray | None = None,
    kind: str = "layer",
    outlier: int | None = 0,
    **more,
) -> xr.Dataset:
    """Labelled as in ``weights.h5``. The gains of one channel are outliers in every layer, if any's are."""
    n, channels = embedding.shape
    tokens = [f"t{i}." for i in range(n)] if tokens is None else tokens
    rng = np.random.default_rng(7)
    gain = rng.uniform(0.9, 1.1, size=(3, channels))
    if outlier is not None:
        gain[:, outlier] = 50
    fields = {
        "token_embedding": (("vocab", "channel"), embedding),
        "unembedding": (("vocab", "channel"), embedding.copy() if unembedding is None else unembedding),
        "final_norm_gain": ("channel", rng.uniform(0.5, 2, channels)),
        "norm1_gain": (("layer", "channel"), gain),
        "norm2_gain": (("layer", "channel"), gain),
    }
    if kind == "layer":
        fields["final_norm_bias"] = "channel", rng.normal(size=channels)
    return xr.Dataset(
        {name: (dims, np.asarray(v, "float32")) for name, (dims, v) in (fields | more).items()},
        coords={"token_id": ("vocab", np.arange(n)), "token_str": ("vocab", tokens)},
        attrs={"final_norm_kind": kind, "final_norm_eps": 1e-5},
    )


def planted(mean_size: float = 20.0) -> xr.Dataset:
    """Weights with `PAIRS` as exceptions, and one long vector that `N_ATTRACTED` tokens call for.

    All lie about a mean direction that every other direction is orthogonal to: scores of all pairs rise
    by the same, so that no exception depends on it, and raw cosines tell of little else.
    """
    rng = np.random.default_rng(3)

    def directions(n: int) -> np.ndarray:
        rows = rng.normal(size=(n, N_CHANNELS))
        rows[:, :2] = 0  # channel 0 is for the mean, channel 1 for the long vector
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    words = [*(called for called, _ in PAIRS.values()), *(f"plain{i}" for i in range(N_PLAIN))]
    plain = directions(len(words))
    short = 0.7 * plain[: len(PAIRS)]  # the same direction, so that the longer one scores more
    near = 0.8 * directions(N_ATTRACTED)
    long = np.zeros((1, N_CHANNELS))
    near[:, 1], long[:, 1] = np.linspace(0.6, 0.7, N_ATTRACTED), 4
    rows = np.concatenate([plain, short, near, long])
    rows[:, 0] = mean_size
    tokens = [*words, *PAIRS, *(f"near{i}" for i in range(N_ATTRACTED)), ATTRACTOR]
    return weights(rows, tokens)


def expected_calls() -> dict[str, tuple[str, str]]:
    """Token to what it calls for and the kind, of every exception of `planted`."""
    near = {f"near{i}": (ATTRACTOR, "other") for i in range(N_ATTRACTED)}
    return PAIRS | near


def random_matrix(n: int = 500, channels: int = N_CHANNELS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, channels)).astype("float32")


def clumped(n: int, size: int, seed: int = 0, spread: float = 0.01) -> np.ndarray:
    """A random matrix whose first ``size`` rows are nearly the same short vector."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, N_CHANNELS))
    rows[:size] = 0.8 * rng.normal(size=N_CHANNELS) + spread * rows[:size]
    return rows.astype("float32")
