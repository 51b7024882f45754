"""States of final tokens that walk through depth, and the tables and transitions of their prompts."""

import numpy as np
import pandas as pd
import xarray as xr

from strata.attention import hidden

L, C = 9, 6
"""Layers, and channels where they do not matter."""


def make_prompts(categories, lengths=None):
    """A table of prompts, and each token's prompt."""
    lengths = lengths or [3] * len(categories)
    table = pd.DataFrame(
        {
            "id": [f"p{i}" for i in range(len(categories))],
            "category": categories,
            "accepted": True,
            "subject_position": 1,
            "fact": [f"p{i}" for i in range(len(categories))],
        }
    )
    return table, np.repeat(table["id"].to_numpy(object), lengths)


def make_resid(final, tokens, seed=0):
    """``resid`` in which the last token of each prompt has the states ``final`` (prompt, depth, channel)."""
    n_depths, n_channels = np.shape(final)[1:]
    values = np.random.default_rng(seed).normal(size=(n_depths, len(tokens), n_channels))
    values[:, np.flatnonzero(np.append(tokens[1:] != tokens[:-1], True))] = np.swapaxes(final, 0, 1)
    coordinates = {"depth": np.arange(n_depths), "prompt": ("token", tokens)}
    return xr.DataArray(values, coordinates, ("depth", "token", "channel"))


def motion_of(final, categories=None):
    prompts, tokens = make_prompts(categories or ["c"] * len(final))
    return hidden.motion(make_resid(final, tokens), prompts)


def transitions(depths, motion):
    names = motion["prompt"].values
    coordinates = {"prompt": names, "noise": ["0.5"], "noise_sd": ("noise", [0.5])}
    return xr.DataArray(np.array(depths, float)[:, None], coordinates, ("prompt", "noise"))


def walks(n, seed, jump_at=None, factor=1.0, profile=None):
    """States that take unit steps in random directions, longer ones where told."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(n, L, 60))
    steps /= np.linalg.norm(steps, axis=-1, keepdims=True)
    steps *= rng.uniform(0.9, 1.1, size=(n, L, 1))
    if profile is not None:
        steps *= np.asarray(profile)[None, :, None]
    if jump_at is not None:
        steps[np.arange(n), jump_at] *= factor
    start = 4 * np.ones((n, 1, 60))
    return np.concatenate([start, start + steps.cumsum(1)], axis=1)


def draw_layers(n, seed):
    return np.random.default_rng(seed + 100).integers(2, 7, n)
