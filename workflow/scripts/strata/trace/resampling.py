"""The bootstrap of traces: facts drawn again, of each its prompts, of each prompt its samples of noise."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from strata.names import FACT, NOISE, PROMPT, SAMPLE
from strata.stats.defined import ratio
from strata.stats.draws import error_of_mean, studentised, times_drawn, units_drawn
from strata.stats.thresholds import enough
from strata.trace.restoration import clean_values, corrupted_values, taken_share

TILE_VALUES = 8_000_000  # float64 values of a tile of resamples: 64 MB


@dataclass(frozen=True)
class Samples:
    """What a bootstrap draws from: the values of every noise sample, as plain arrays.

    ``values`` [prompt, noise, sample, ...], ``corrupted`` and ``taken`` (`taken_share`) [prompt,
    noise, sample], 0 in samples that are not ``there`` [prompt, noise, sample]; ``clean`` [prompt];
    ``facts`` [prompt], the name of what each prompt asks.
    """

    values: np.ndarray
    corrupted: np.ndarray
    taken: np.ndarray
    there: np.ndarray
    clean: np.ndarray
    facts: np.ndarray

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
        corrupted, taken = np.where(there, corrupted, 0), np.where(there, taken, 0)
        return cls(values, corrupted, taken, there, clean, trace[FACT].values)

    def rows(self, prompts: np.ndarray) -> "Samples":
        """Those of some prompts."""
        fields = (self.values, self.corrupted, self.taken, self.there, self.clean, self.facts)
        return Samples(*(field[prompts] for field in fields))

    def restored(self, min_gap: float) -> np.ndarray:
        """Restoration [prompt, noise, ...] from all samples; NaN for excluded prompts."""
        with np.errstate(invalid="ignore"):
            even = self.there / self.there.sum(-1, keepdims=True)  # NaN where there is no sample
        return np.stack([self._restored(i, even[i][None], min_gap)[0] for i in range(len(self.values))])

    def by_fact(self, of_prompts: np.ndarray) -> np.ndarray:
        """Values [prompt, ...] as [1, fact, prompt of it, ...]; NaN where a fact has fewer prompts."""
        return np.concatenate([of_prompts, np.full_like(of_prompts[:1], np.nan)])[_members(self.facts)][None]

    def resampled(self, min_gap: float, n_resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Restoration of what is drawn [resample, fact, prompt of it, noise, ...], in tiles.

        NaN where a fact that is drawn has fewer prompts than others.
        """
        members = _members(self.facts)
        for size in _tiles(n_resamples, members.size * self.values[0, :, 0].size):
            drawn, weights = draw_resamples(rng, members, self.there.shape[-1], size)
            restored = np.full((*drawn.shape, *self.values[0, :, 0].shape), np.nan)
            for prompt in range(len(self.values)):
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
    rng: np.random.Generator, members: np.ndarray, n_samples: int, n_resamples: int
) -> tuple[np.ndarray, np.ndarray]:
    """Prompts drawn, and their samples' weights, which sum to 1.

    As many facts as there are, of each drawn fact as many prompts as it has, of each prompt as many samples.

    Parameters
    ----------
    members : int array [fact, prompt of it]
        The prompts of each fact; -1 where it has no more.

    Returns
    -------
    Prompts [resample, fact, prompt of it], -1 where there is none; weights [..., sample].
    """
    members = members[units_drawn(rng, len(members), n_resamples)]
    n_members = (members >= 0).sum(-1, keepdims=True)
    chosen = rng.integers(np.broadcast_to(n_members, members.shape))
    prompts = np.where(members >= 0, np.take_along_axis(members, chosen, -1), -1)
    return prompts, times_drawn(rng, n_samples, *prompts.shape) / n_samples


def mean_over_facts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over the prompts of all facts, its standard error, and how many facts count: [resample, ...].

    The error takes the prompts of a fact together (`strata.stats.draws.error_of_mean`). ``values``
    [resample, fact, prompt of it, ...], NaN where a prompt does not count.
    """
    defined = ~np.isnan(values)
    sums, counts = np.sum(values, 2, where=defined), defined.sum(2)
    n, n_facts = counts.sum(1), (counts > 0).sum(1)
    mean = ratio(sums.sum(1), n)
    squares = ((sums - np.nan_to_num(mean)[:, None] * counts) ** 2).sum(1)
    return mean, error_of_mean(squares, n_facts, n), n_facts


def bounds(
    stem: str,
    estimate: xr.DataArray,
    found: np.ndarray,
    drawn: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    interval: float,
) -> dict[str, xr.DataArray]:
    """``stem_low`` and ``stem_high`` of a mean over prompts; NaN for fewer facts than are `enough`.

    Parameters
    ----------
    estimate : DataArray (...)
        The mean, whose labels they have.
    found : array [1, fact, prompt of it, ...]
    drawn : sequence
        What `mean_over_facts` makes of tiles of resamples.
    """
    mean, error, n_facts = (part[0] for part in mean_over_facts(found))
    means, errors, _ = map(np.concatenate, zip(*drawn, strict=True))
    ends = np.where(enough(n_facts), studentised(mean, error, means, errors, interval), np.nan)
    return {
        f"{stem}_{name}": estimate.copy(data=end) for name, end in zip(("low", "high"), ends, strict=True)
    }


def _members(facts: np.ndarray) -> np.ndarray:
    """The prompts of each fact [fact, prompt of it], facts as they first occur; -1: it has no more."""
    _, which = np.unique(facts, return_inverse=True)
    by_fact = [np.flatnonzero(which == fact) for fact in dict.fromkeys(which.tolist())]
    members = np.full((len(by_fact), max(map(len, by_fact))), -1)
    for fact, prompts in enumerate(by_fact):
        members[fact, : len(prompts)] = prompts
    return members


def _tiles(n_resamples: int, values_each: int) -> Iterator[int]:
    tile = max(1, TILE_VALUES // values_each)
    for start in range(0, n_resamples, tile):
        yield min(tile, n_resamples - start)
