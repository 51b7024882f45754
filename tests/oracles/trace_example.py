"""A small trace made from random numbers, in the layout of ``trace/state.nc``."""

import numpy as np
import xarray as xr

LEVELS = ["0.1", "0.5", "3x", "replaced"]
CATEGORIES = ["semantic", "plain_english", "c$o$py_ing"]
AVERAGE = {"min_gap": 0.5, "n_resamples": 20, "interval": 0.9, "seed": 0}


def make_trace(n_prompts=12, n_depths=6, n_positions=6, axis="depth", levels=LEVELS, seed=0):
    """Subjects of one to three tokens from position 1 on, all noised; the answer moves at depth 3."""
    rng = np.random.default_rng(seed)
    last = 1 + np.arange(n_prompts) % 3
    p = rng.uniform(0.0, 0.1, (n_prompts, len(levels), 3, n_depths, n_positions))
    for i in range(n_prompts):
        p[i, ..., :3, last[i]] = 0.9
        p[i, ..., 3:, -1] = 0.9
    p[..., 0] = np.nan
    strings = np.array([["The", "Ġ$x$", "Ġb", "Ġc", "Ġis", "Ġĉ"]] * n_prompts, object)
    return xr.Dataset(
        {
            "p_target": (("prompt", "noise", "sample", axis, "position"), p),
            "p_corrupted": (
                ("prompt", "noise", "sample"),
                rng.uniform(0.0, 0.1, (n_prompts, len(levels), 3)),
            ),
            "p_clean": ("prompt", np.full(n_prompts, 0.95)),
        },
        coords={
            "prompt": [f"p{i}" for i in range(n_prompts)],
            "noise": levels,
            "noise_sd": ("noise", [np.nan if level == "replaced" else 0.3 for level in levels]),
            axis: np.arange(n_depths),
            "category": ("prompt", [CATEGORIES[i % 3] for i in range(n_prompts)]),
            "fact": ("prompt", [f"fact {i}" for i in range(n_prompts)]),
            "subject_start": ("prompt", np.ones(n_prompts, int)),
            "subject_position": ("prompt", last),
            "n_tokens": ("prompt", np.full(n_prompts, n_positions)),
            "target": ("prompt", [" Paris"] * n_prompts),
            "top_str": ("prompt", ["ĠLyon"] * n_prompts),
            "token_str": (("prompt", "position"), strings),
        },
    )


def visible(figure):
    """The panels that show, by their titles."""
    return [axes for axes in figure.axes if axes.get_visible() and axes.get_title()]
