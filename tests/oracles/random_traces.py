"""Traces made from random numbers, with every prompt's own length and subject, and their draws."""

import numpy as np
import xarray as xr

from strata.trace import resampling

OPTIONS = {"min_gap": 0.1, "n_resamples": 50, "interval": 0.9, "seed": 3}


def make_trace(n_prompts=6, n_noise=2, n_samples=4, n_depths=5, n_positions=7, seed=0):
    """Random probabilities with every prompt's own length and subject; NaN outside."""
    rng = np.random.default_rng(seed)
    n_tokens = rng.integers(4, n_positions + 1, n_prompts)
    subject = rng.integers(1, n_tokens - 2)
    p = rng.uniform(0, 1, (n_prompts, n_noise, n_samples, n_depths, n_positions))
    for i in range(n_prompts):
        p[i, ..., : subject[i]] = np.nan
        p[i, ..., n_tokens[i] :] = np.nan
    return xr.Dataset(
        {
            "p_target": (("prompt", "noise", "sample", "depth", "position"), p.astype("f4")),
            "p_corrupted": (
                ("prompt", "noise", "sample"),
                rng.uniform(0, 0.8, (n_prompts, n_noise, n_samples)).astype("f4"),
            ),
        },
        coords={
            "prompt": [f"p{i}" for i in range(n_prompts)],
            "noise": ["0.5", "3x"][:n_noise],
            "depth": np.arange(n_depths),
            "p_clean": ("prompt", rng.uniform(0.4, 1, n_prompts).astype("f4")),
            "category": ("prompt", ["rote", "fact"] * (n_prompts // 2)),
            "fact": ("prompt", [f"f{i}" for i in range(n_prompts)]),
            "subject_position": ("prompt", subject),
            "n_tokens": ("prompt", n_tokens),
            "token_str": (("prompt", "position"), np.full((n_prompts, n_positions), "x")),
        },
    )


def step_trace(switches, n_depths=8, clean=0.9, corrupted=0.1, n_samples=3):
    """The subject restores everything up to depth ``switch``, the final token everything after."""
    trace = make_trace(len(switches) * 2, 1, n_samples, n_depths).isel(prompt=slice(0, None, 2))
    p = np.full(trace.p_target.shape, corrupted)
    for i, switch in enumerate(switches):
        p[i, ..., :switch, int(trace.subject_position[i])] = clean
        p[i, ..., switch:, int(trace.n_tokens[i]) - 1] = clean
    trace["p_target"] = trace.p_target.copy(data=p)
    trace["p_clean"] = trace.p_clean.copy(data=np.full(len(switches), clean))
    trace["p_corrupted"] = trace.p_corrupted.copy(data=np.full(trace.p_corrupted.shape, corrupted))
    return trace


def add_measures(trace, seed=5):
    """Random values of the other measures; prompt p1 names no set of completions."""
    rng = np.random.default_rng(seed)
    there = trace.p_target.notnull()
    for name, clean, least, most in (
        ("logit_difference", rng.uniform(2, 6, trace.sizes["prompt"]), -3, 5),
        ("kl_clean", None, 0.1, 4),
        ("p_set", rng.uniform(0.6, 1, trace.sizes["prompt"]), 0, 0.9),
        ("p_whole", rng.uniform(0.3, 0.9, trace.sizes["prompt"]), 0, 0.6),
    ):
        values = rng.uniform(least, most, trace.p_target.shape)
        trace[name] = trace.p_target.copy(data=values).where(there)
        corrupted = rng.uniform(least, most, trace.p_corrupted.shape)
        trace[f"{name}_corrupted"] = trace.p_corrupted.copy(data=corrupted)
        if clean is not None:
            trace[f"{name}_clean"] = ("prompt", clean)
    for name in ("p_set", "p_set_clean", "p_set_corrupted"):
        trace[name] = trace[name].where(trace.prompt != "p1")
    return trace


def record_draws(monkeypatch):
    """Draws of the bootstrap: for each resample a list of facts, each a list of (prompt, samples)."""
    found = []
    real = resampling.draw_resamples

    def record(rng, members, n_samples, n_resamples):
        drawn, weights = real(rng, members, n_samples, n_resamples)
        times = np.rint(weights * n_samples).astype(int)
        for prompts, each in zip(drawn, times, strict=True):
            found.append(
                [
                    [(p, np.repeat(range(n_samples), t)) for p, t in zip(own, of, strict=True) if p >= 0]
                    for own, of in zip(prompts, each, strict=True)
                ]
            )
        return drawn, weights

    monkeypatch.setattr(resampling, "draw_resamples", record)
    return found
