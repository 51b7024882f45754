"""The bootstrap on 10,000 prompts, 48 depths, 6 levels, 1,000 resamples, by the sums it cannot do without.

Intervals of means: of as many values a prompt as levels and depths, against the same draws and one bare
matrix product, how often each prompt is drawn times its values and their squares, in tiles. Averages of a
trace: restorations of both sites from the samples of each prompt as they were drawn, with the transition of
each; against the same draws and the products of the samples' weights and values alone, which know neither
errors nor transitions. Both in turns, random values; peak memory is that of everything beyond the values.
"""

import argparse
from collections.abc import Callable

import numpy as np
import xarray as xr
from frame import Peak, Turns

from strata.stats.draws import interval_of_mean, times_drawn, units_drawn
from strata.trace.averages import average_by_category

LIMIT_SECONDS = 60
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
    """The same draws, and of each level the samples' weights times their values."""
    n, levels, samples, depths, sites = trace["p_target"].shape
    values = trace["p_target"].values.transpose(1, 0, 2, 3, 4).reshape(levels, n * samples, depths * sites)
    values, rng = values.astype(float), np.random.default_rng(1)
    sums = np.empty((resamples, levels, depths * sites))
    for start in range(0, resamples, TILE):
        tile = range(start, min(start + TILE, resamples))
        weights = np.zeros((len(tile), n, samples))
        for row in weights:
            np.add.at(row, units_drawn(rng, n), times_drawn(rng, samples, n) / samples)
        for level in range(levels):
            sums[tile.start : tile.stop, level] = weights.reshape(len(tile), -1) @ values[level]


def in_turns(engine: Callable[[], object], reference: Callable[[], object], rounds: int) -> str:
    """Seconds of both and their ratio; medians."""
    turns = Turns({"own": engine, "bare": reference}, rounds)
    own, bare, ratio = turns.median("own"), turns.median("bare"), turns.ratio("own", "bare")
    return f"{own:6.2f} s, reference {bare:6.2f} s, ratio {ratio:5.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("prompts", 10_000), ("depths", 48), ("levels", 6), ("resamples", 1_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--samples", type=int, default=2, help="draws of noise, as config.yaml has")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    shape, resamples = (options.prompts, options.levels, options.depths), options.resamples

    print(f"{options.prompts:,} prompts, {options.depths} depths, {options.levels} levels,")
    print(f"{resamples:,} resamples, medians of {options.rounds} turns; at most {LIMIT_SECONDS} s wanted")
    values = values_of(*shape)
    with Peak() as peak:
        interval_of_mean(values, resamples, 0.95, np.random.default_rng(1))
    told = in_turns(
        lambda: interval_of_mean(values, resamples, 0.95, np.random.default_rng(1)),
        lambda: bare_mean(values, resamples),
        options.rounds,
    )
    print(f"intervals of means       {told}, {peak.bytes / 1e6:,.0f} MB more")

    trace = trace_of(*shape, options.samples)
    how = {"min_gap": 0.1, "n_resamples": resamples, "interval": 0.95, "seed": 0}
    with Peak() as peak:
        average_by_category(trace, **how)
    told = in_turns(
        lambda: average_by_category(trace, **how), lambda: bare_trace(trace, resamples), options.rounds
    )
    print(f"averages of a trace      {told}, {peak.bytes / 1e6:,.0f} MB more")


if __name__ == "__main__":
    main()
