"""The bootstrap of traces: prompts drawn again, and of each drawn prompt its samples of noise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from strata.names import NOISE, PROMPT, SAMPLE
from strata.stats.defined import percentiles
from strata.stats.draws import times_drawn, units_drawn
from strata.trace.restoration import clean_values, corrupted_values, taken_share

TILE_VALUES = 8_000_000  # float64 values of a tile of resamples: 64 MB


@dataclass(frozen=True)
class Samples:
    """What a bootstrap draws from: the values of every noise sample, as plain arrays.

    ``values`` [prompt, noise, sample, ...], ``corrupted`` and ``taken`` (`taken_share`) [prompt,
    noise, sample], 0 in samples that are not ``there`` [prompt, noise, sample]; ``clean`` [prompt].
    """

    values: np.ndarray
    corrupted: np.ndarray
    taken: np.ndarray
    there: np.ndarray
    clean: np.ndarray

    @classmethod
    def of(cls, trace: xr.Dataset, values: xr.DataArray, measure: str) -> "Samples":
        """Samples of ``values`` (prompt, noise, sample, ...).

        Raises
        ------
        ValueError
            If a value is NaN where the corrupted and the clean one are not.
        """
        values = values.transpose(PROMPT, NOISE, SAMPLE, ...).values
        corrupted = corrupted_values(trace, measure).transpose(PROMPT, NOISE, SAMPLE).values
        clean = clean_values(trace, measure).values * np.ones(len(values))
        there = ~np.isnan(corrupted) & ~np.isnan(clean)[:, None, None]
        inner = tuple(range(there.ndim, values.ndim))
        bad = (np.isnan(values).any(inner) & there).any((1, 2))
        if bad.any():
            ids = ", ".join(map(str, trace[PROMPT].values[bad]))
            raise ValueError(f"{measure} is NaN at a subject token or the final one of: {ids}")
        taken = taken_share(trace, measure).values
        values = np.where(np.expand_dims(there, inner), values, 0)
        return cls(values, np.where(there, corrupted, 0), np.where(there, taken, 0), there, clean)

    def rows(self, prompts: np.ndarray) -> "Samples":
        """Those of some prompts."""
        fields = (self.values, self.corrupted, self.taken, self.there, self.clean)
        return Samples(*(field[prompts] for field in fields))

    def restored(self, min_gap: float) -> np.ndarray:
        """Restoration [prompt, noise, ...] from all samples; NaN for excluded prompts."""
        with np.errstate(invalid="ignore"):
            even = self.there / self.there.sum(-1, keepdims=True)  # NaN where there is no sample
        return np.stack([self._restored(i, even[i][None], min_gap)[0] for i in range(len(self.values))])

    def resampled(self, min_gap: float, n_resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Restoration of drawn prompts and samples [resample, prompt, noise, ...], in tiles."""
        n_prompts, _, n_samples = self.there.shape
        each = self.values[:, :, 0]
        for size in _tiles(n_resamples, each.size):
            drawn, weights = draw_resamples(rng, n_prompts, n_samples, size)
            restored = np.empty((size, *each.shape))
            for prompt in range(n_prompts):
                where = np.nonzero(drawn == prompt)
                by_level = self._by_level(prompt, weights[where], rng)
                restored[where] = self._restored(prompt, by_level, min_gap)
            yield restored

    def _by_level(self, prompt: int, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """``weights`` [instance, noise, sample]; drawn again where a level lacks samples."""
        there = self.there[prompt]
        by_level = np.repeat(weights[:, None], len(there), axis=1)
        for level in np.flatnonzero(~there.all(-1)):
            n = there[level].sum()
            by_level[:, level] = 0 if n else np.nan
            if n:
                by_level[:, level, there[level]] = times_drawn(rng, n, len(weights)) / n
        return by_level

    def _restored(self, prompt: int, weights: np.ndarray, min_gap: float) -> np.ndarray:
        """Restoration [instance, noise, ...] of one prompt with ``weights`` [instance, noise, sample]."""
        weights = weights.swapaxes(0, 1)
        values = self.values[prompt]
        mean = weights @ values.reshape(*values.shape[:2], -1)  # [noise, instance, ...]
        corrupted, taken = (weights @ each[prompt][..., None] for each in (self.corrupted, self.taken))
        gap = np.where(taken >= min_gap, self.clean[prompt] - corrupted, np.nan)
        restored = ((mean - corrupted) / gap).swapaxes(0, 1)
        return restored.reshape(*restored.shape[:2], *values.shape[2:])


def draw_resamples(
    rng: np.random.Generator, n_prompts: int, n_samples: int, n_resamples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Prompts drawn [resample, prompt] and, for each, its samples' weights [..., sample], sum 1."""
    prompts = units_drawn(rng, n_prompts, n_resamples)
    return prompts, times_drawn(rng, n_samples, *prompts.shape) / n_samples


def bounds(
    stem: str, estimate: xr.DataArray, count: xr.DataArray, tiles: Sequence[np.ndarray], interval: float
) -> dict[str, xr.DataArray]:
    """Percentiles of resampled estimates; none (NaN) from fewer than two prompts."""
    ends = percentiles(np.concatenate(tiles), interval, axis=0)
    return {
        f"{stem}_{name}": estimate.copy(data=end).where(count >= 2)
        for name, end in zip(("low", "high"), ends, strict=True)
    }


def _tiles(n_resamples: int, values_each: int) -> Iterator[int]:
    tile = max(1, TILE_VALUES // values_each)
    for start in range(0, n_resamples, tile):
        yield min(tile, n_resamples - start)
