"""Attention statistics in plain loops, and models and files whose attention is known on paper."""

import math

import numpy as np
import pandas as pd
import torch
import xarray as xr

from oracles.planted import VOCAB, WIDTH, idle_blocks
from strata import io

# Files --------------------------------------------------------------------------------------


def make_prompts(categories: list[str], lengths: list[int], seed: int = 0) -> pd.DataFrame:
    """Accepted prompts with a subject of one or two tokens between the first token and the last."""
    rng = np.random.default_rng(seed)
    rows = []
    for i, (category, n) in enumerate(zip(categories, lengths, strict=True)):
        start = int(rng.integers(1, n - 1))
        end = min(n - 2, start + int(rng.integers(0, 2)))
        rows.append(
            {
                "id": f"p{i}",
                "category": category,
                "fact": f"f{i}",
                "accepted": True,
                "n_tokens": n,
                "subject_start": start,
                "subject_position": end,
            }
        )
    return pd.DataFrame(rows)


def make_activations(prompts: pd.DataFrame, patterns: list[np.ndarray]) -> xr.Dataset:
    """``attention_last`` from each prompt's pattern (layer, head, position)."""
    names = np.repeat(prompts["id"].to_numpy(object), [p.shape[-1] for p in patterns])
    n_layers, n_heads, _ = patterns[0].shape
    return xr.Dataset(
        {"attention_last": (("layer", "head", "token"), np.concatenate(patterns, -1).astype("float32"))},
        coords={"prompt": ("token", names), "layer": np.arange(n_layers), "head": np.arange(n_heads)},
    )


def random_patterns(prompts: pd.DataFrame, n_layers: int, n_heads: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.dirichlet(np.full(n, 0.5), size=(n_layers, n_heads)) for n in prompts["n_tokens"]]


# Loops --------------------------------------------------------------------------------------


def entropy(shares) -> float:
    """In nats."""
    return -sum(float(a) * math.log(float(a)) for a in shares if a > 0)


def half_maximum(shares: list[float]) -> tuple[float, float]:
    """Onset and release: walk up from the first layer, and down from the last."""
    half = max(shares) / 2
    onset = release = None
    for layer in range(len(shares)):
        if shares[layer] >= half:
            below = shares[layer - 1] if layer else None
            onset = 0.0 if layer == 0 else layer - 1 + (half - below) / (shares[layer] - below)
            break
    for layer in reversed(range(len(shares))):
        if shares[layer] >= half:
            if layer == len(shares) - 1:
                release = float(layer)
            else:
                above = shares[layer + 1]
                release = layer + (shares[layer] - half) / (shares[layer] - above)
            break
    return onset, release


def variability(patterns: list[np.ndarray], first_key: int = 0) -> float:
    """Vig and Belinkov's measure of one head, from its pattern (query, key) in every text."""
    deviation = total = 0.0
    n = len(patterns[0])
    for i in range(n):
        for j in range(first_key, i + 1):
            each = [float(pattern[i, j]) for pattern in patterns]
            mean = sum(each) / len(each)
            deviation += sum(abs(a - mean) for a in each)
            total += sum(each)
    return deviation / (2 * total)


def chance_of_overlap(overlap: int, n_channels: int, n_set: int, n_drawn: int) -> float:
    """That ``n_drawn`` of ``n_channels`` channels have at least ``overlap`` of a set's."""
    ways = sum(
        math.comb(n_set, k) * math.comb(n_channels - n_set, n_drawn - k)
        for k in range(overlap, min(n_set, n_drawn) + 1)
    )
    return ways / math.comb(n_channels, n_drawn)


# Models -------------------------------------------------------------------------------------


def looks_for(token: int):
    """Every head attends to the nearest thing there is to ``token``: where it stands, alone; else evenly.

    Blocks add nothing. Embeddings are one channel a token, so that before attention the norm leaves all
    tokens equally large; the query is the same everywhere and the key is large at that token only.
    """
    model = idle_blocks()
    model.transformer.wpe.weight.zero_()
    model.transformer.wte.weight.zero_()
    model.transformer.wte.weight[:, :VOCAB] = torch.eye(VOCAB)
    for block in model.transformer.h:
        query, key, _ = block.attn.c_attn.bias.split(WIDTH)
        query[0] = 30.0
        _, weight, _ = block.attn.c_attn.weight.split(WIDTH, dim=1)
        weight[token, 0] = 30.0
    return model


def looks_at(position: int):
    """Every head attends to one position, or from before it evenly, whatever the tokens are."""
    model = idle_blocks()
    model.transformer.wte.weight.zero_()
    model.transformer.wpe.weight.zero_()
    n_positions = len(model.transformer.wpe.weight)
    model.transformer.wte.weight[:, :VOCAB] = torch.eye(VOCAB)
    model.transformer.wpe.weight[:, VOCAB : VOCAB + n_positions] = torch.eye(n_positions)
    for block in model.transformer.h:
        query, _, _ = block.attn.c_attn.bias.split(WIDTH)
        query[0] = 30.0
        _, weight, _ = block.attn.c_attn.weight.split(WIDTH, dim=1)
        weight[VOCAB + position, 0] = 30.0
    return model


def check_kept(result: xr.Dataset, path: str) -> None:
    """A result comes back from its file as it was, in single precision."""
    io.write_dataset(result, path, model={}, config={})
    back = io.open_dataset(path).load()
    del back.attrs["provenance"]
    xr.testing.assert_equal(back, result)
    assert back.attrs == result.attrs
    assert all(v.dtype == "float32" for v in result.data_vars.values() if v.dtype.kind == "f")
