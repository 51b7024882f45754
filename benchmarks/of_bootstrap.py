"""Rows of the bootstrap: 10,000 prompts, 48 depths, 6 levels, 1,000 resamples, by its necessary sums.

Intervals of means: of as many values a prompt as levels and depths, against the same draws and one bare
matrix product, how often each prompt is drawn times its values and their squares, in tiles. Averages of a
trace: restorations of both sites from the samples of each prompt as they were drawn, with the transition of
each and the rule of exclusion; against the same draws and, for every drawing of a prompt's samples (two have
three), how often it comes times its mean and its square. Random values; the same for every shape of model.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import torch
import xarray as xr
from frame import Row, Turns

from strata.stats.draws import interval_of_mean, times_drawn, units_drawn
from strata.trace.averages import average_by_category

SIZES = {"prompts": 10_000, "levels": 6, "depths": 48}
RESAMPLES, SAMPLES = 1_000, 2
QUICK = 1_000  # prompts
LIMIT = 60  # seconds
TILE = 100  # resamples at once of the references


def values_of(prompts: int, levels: int, depths: int) -> np.ndarray:
    return np.random.default_rng(0).random((levels, depths, prompts))


def bare_mean(values: np.ndarray, resamples: int) -> None:
    """The same draws, times values and their squares."""
    rng, columns = np.random.default_rng(1), values.reshape(-1, values.shape[-1]).T
    columns = np.concatenate([columns, columns**2], axis=1)
    sums = np.empty((resamples, columns.shape[1]))
    for start in range(0, resamples, TILE):
        times = times_drawn(rng, len(columns), min(TILE, resamples - start))
        np.matmul(times.astype(float), columns, out=sums[start : start + TILE])


def trace_of(prompts: int, levels: int, depths: int, samples: int) -> xr.Dataset:
    """A random trace of prompts of two tokens that ask a fact each."""
    rng = np.random.default_rng(0)
    by_sample = ("prompt", "noise", "sample")
    shape = (prompts, levels, samples, depths, 2)
    values = rng.random(shape, dtype=np.float32)
    values[..., 1] += np.linspace(-1, 1, depths)[:, None].T
    each = np.arange(prompts)
    return xr.Dataset(
        {
            "p_target": ((*by_sample, "depth", "position"), values),
            "p_corrupted": (by_sample, rng.random(shape[:3], dtype=np.float32) / 3),
            "p_clean": ("prompt", np.full(prompts, 0.9, np.float32)),
        },
        {
            "prompt": each,
            "noise": [f"{level}x" for level in range(levels)],
            "depth": np.arange(depths),
            "category": ("prompt", np.full(prompts, "fact")),
            "fact": ("prompt", each),
            "subject_position": ("prompt", np.zeros(prompts, int)),
            "n_tokens": ("prompt", np.full(prompts, 2)),
        },
    )


def bare_trace(trace: xr.Dataset, resamples: int) -> None:
    """The same draws, and how often each drawing of a prompt's samples comes times its mean and square."""
    n, levels, samples, depths, sites = trace["p_target"].shape
    values = trace["p_target"].values.transpose(1, 0, 2, 3, 4).reshape(levels, n, samples, depths * sites)
    drawings = np.array([t for t in product(range(samples + 1), repeat=samples) if sum(t) == samples])
    places = (samples + 1) ** np.arange(samples)[::-1]
    columns = (drawings / samples @ values).reshape(levels, n * len(drawings), -1)
    columns, rng = np.concatenate([columns, columns**2], axis=-1), np.random.default_rng(1)
    sums = np.empty((resamples, levels, columns.shape[-1]))
    for start in range(0, resamples, TILE):
        tile = slice(start, min(start + TILE, resamples))
        times = np.empty((tile.stop - start, n * len(drawings)))
        for row in times:
            drawing = np.searchsorted(drawings @ places, times_drawn(rng, samples, n) @ places)
            row[:] = np.bincount(units_drawn(rng, n) * len(drawings) + drawing, minlength=len(row))
        for level in range(levels):
            np.matmul(times, columns[level], out=sums[tile, level])


def rows(shape: str, device: torch.device, rounds: int, quick: bool) -> Iterator[Row]:
    if shape != "small" or device.type != "cpu":  # of processors alone
        return
    sizes = SIZES | ({"prompts": QUICK} if quick else {})
    values, trace = values_of(**sizes), trace_of(**sizes, samples=SAMPLES)
    how = {"min_gap": 0.1, "n_resamples": RESAMPLES, "interval": 0.95, "seed": 0}
    engines = {
        "intervals of means": (
            lambda: interval_of_mean(values, RESAMPLES, how["interval"], np.random.default_rng(1)),
            lambda: bare_mean(values, RESAMPLES),
        ),
        "averages of a trace": (
            lambda: average_by_category(trace, **how),
            lambda: bare_trace(trace, RESAMPLES),
        ),
    }
    told = f"{sizes['prompts']:,} x {sizes['depths']} x {sizes['levels']} x {RESAMPLES:,}"
    for name, (own, bare) in engines.items():
        turns = Turns({"sums": bare, "own": own}, rounds)
        yield Row(f"bootstrap, {name}", told, "its sums as a product", turns.ratio("own", "sums"), "<= 1.5")
        yield Row(f"bootstrap, {name}", told, f"{LIMIT} seconds", turns.median("own") / LIMIT, "<= 1")
