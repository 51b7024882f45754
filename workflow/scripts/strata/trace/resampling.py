"""The bootstrap of traces: facts drawn again, of each its prompts, of each prompt its samples of noise."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import comb

import numpy as np
import xarray as xr

from strata.names import FACT, NOISE, PROMPT, SAMPLE
from strata.stats.draws import studentised, tile_sizes, times_drawn, units_drawn
from strata.stats.thresholds import enough
from strata.trace.fact_means import Means, Totals, mean_over_facts
from strata.trace.restoration import clean_values, corrupted_values, taken_share

TILE_VALUES = 8_000_000  # float64 values that what is drawn at once would have, restored
DRAWN_VALUES = 4_000_000  # of draws that are taken together: 32 MB, sorted and put together several times
BLOCK_VALUES = 2_000_000  # float64 values of what is restored at once: 16 MB, which a cache holds


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
        each = np.arange(len(even))
        return self._restored(Drawn(each, each, even), min_gap)

    def means(
        self,
        functions: Sequence[Callable[[np.ndarray], np.ndarray]],
        min_gap: float,
        n_resamples: int,
        rng: np.random.Generator,
    ) -> list[Means]:
        """Means over prompts, in every resample, of each of some functions of restoration.

        The functions take restorations [draw, noise, ...] of prompts as they were drawn and return values
        [draw, noise, ...], NaN where a prompt does not count.
        """
        members, batches = _members(self.facts), []
        for at_once, drawn in self._drawn(members, n_resamples, rng):
            totals = [Totals(at_once) for _ in functions]
            for some in drawn.blocks(self.facts, self._block(at_once, members.shape[1])):
                different, which = some.different()
                restored = self._restored(different, min_gap)
                facts, fact = np.unique(some.fact, return_inverse=True)
                for total, function in zip(totals, functions, strict=True):
                    total.add(function(restored), which, fact, facts // len(members))
            batches.append([total.means() for total in totals])
        return [Means(*map(np.concatenate, zip(*each, strict=True))) for each in zip(*batches, strict=True)]

    def _block(self, n_resamples: int, n_members: int) -> int:
        """How many draws are restored and added up at once."""
        size, n_samples = BLOCK_VALUES // self.values[0, :, 0].size, self.there.shape[-1]
        # Where each fact has one prompt, none are summed, and each drawing of one is restored once.
        if n_members == 1 and self.there.all():
            drawings = comb(2 * n_samples - 1, n_samples)
            size *= max(1, n_resamples // drawings)
        return max(1, size)

    def _drawn(
        self, members: np.ndarray, n_resamples: int, rng: np.random.Generator
    ) -> Iterator[tuple[int, "Drawn"]]:
        """What is drawn in as many resamples as `DRAWN_VALUES` hold, and how many they are."""
        n_levels, n_samples = self.there.shape[1:]
        whole = bool(self.there.all())
        of_each = members.size * (2 + n_samples * (1 if whole else n_levels))
        n, tiles = 0, []
        for size in tile_sizes(n_resamples, members.size * self.values[0, :, 0].size, TILE_VALUES):
            prompts, weights = draw_resamples(rng, members, n_samples, size)
            weights = weights[..., None, :] if whole else self._by_level(prompts, weights, rng)
            fact = n * len(members) + np.arange(size * len(members)).reshape(size, -1, 1)
            there = prompts >= 0
            tiles.append((prompts[there], np.broadcast_to(fact, prompts.shape)[there], weights[there]))
            n += size
            if n * of_each >= DRAWN_VALUES:
                yield n, Drawn(*map(np.concatenate, zip(*tiles, strict=True)))
                n, tiles = 0, []
        if n:
            yield n, Drawn(*map(np.concatenate, zip(*tiles, strict=True)))

    def _by_level(self, prompts: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """``weights`` [..., noise, sample] of ``prompts`` [...]; drawn again where a level lacks samples."""
        by_level = np.repeat(weights[..., None, :], self.there.shape[1], axis=-2)
        flat, order = by_level.reshape(-1, *by_level.shape[-2:]), prompts.argsort(axis=None, kind="stable")
        bounds = np.searchsorted(prompts.ravel()[order], np.arange(len(self.there) + 1))
        for prompt in np.flatnonzero(~self.there.all((1, 2))):
            where = order[slice(*bounds[prompt : prompt + 2])]
            for level in np.flatnonzero(~self.there[prompt].all(-1)):
                has = np.flatnonzero(self.there[prompt, level])
                flat[where, level] = 0 if len(has) else np.nan
                if len(has):
                    times = times_drawn(rng, len(has), len(where))
                    flat[where[:, None], level, has] = times / len(has)
        return by_level

    def _restored(self, drawn: "Drawn", min_gap: float) -> np.ndarray:
        """Restoration [draw, noise, ...]; NaN for excluded prompts."""
        n_levels, n_samples, *inner = self.values.shape[1:]
        restored = np.empty((len(drawn.prompt), n_levels, int(np.prod(inner))))
        prompts, starts = np.unique(drawn.prompt, return_index=True)
        for prompt, rows in zip(prompts, pairwise([*starts, len(restored)]), strict=True):
            weights = drawn.weights[slice(*rows)].swapaxes(0, 1)  # [noise or 1, draw, sample]
            corrupted, taken = (weights @ each[prompt][..., None] for each in (self.corrupted, self.taken))
            gap = np.where(taken >= min_gap, self.clean[prompt] - corrupted, np.nan)
            lift = self.values[prompt].reshape(n_levels, n_samples, -1) - self.corrupted[prompt][..., None]
            np.matmul(weights / gap, lift, out=restored[slice(*rows)].swapaxes(0, 1))
        return restored.reshape(*restored.shape[:2], *inner)


@dataclass(frozen=True)
class Drawn:
    """Prompts, each as often as it was drawn.

    ``prompt`` [draw]; ``fact`` [draw], which of all the facts drawn it was drawn of, ascending; ``weights``
    [draw, noise, sample] of its samples, or [draw, 1, sample] the same at all levels.
    """

    prompt: np.ndarray
    fact: np.ndarray
    weights: np.ndarray

    def different(self) -> tuple["Drawn", np.ndarray]:
        """Each prompt once with the same weights, and which of these every draw [draw] is; ``fact`` is lost.

        Of two samples there are but three drawings; of many, hardly any comes twice.
        """
        n_draws, n_levels, n_samples = self.weights.shape
        kinds = (n_samples + 1) ** n_samples
        if n_levels > 1 or kinds > n_draws:
            return self, np.arange(n_draws)
        # NaN of a prompt without samples counts as none of them, which no other drawing is.
        times = np.rint(np.nan_to_num(self.weights[:, 0]) * n_samples).astype(int)
        code = times @ (n_samples + 1) ** np.arange(n_samples) + kinds * self.prompt
        _, first, which = np.unique(code, return_index=True, return_inverse=True)
        return Drawn(self.prompt[first], self.fact[first], self.weights[first]), which

    def blocks(self, facts: np.ndarray, size: int) -> Iterator["Drawn"]:
        """About ``size`` draws at a time, of the same facts, ``facts`` [prompt], and sorted by prompt.

        No fact that was drawn is divided.
        """
        which = np.unique(facts, return_inverse=True)[1]
        order = _order(which[self.prompt])
        starts = np.flatnonzero(np.diff(self.fact[order], prepend=-1))
        cuts = starts[np.searchsorted(starts, np.arange(0, len(order), size), side="right") - 1]
        for rows in pairwise([*np.unique(cuts), len(order)]):
            some = order[slice(*rows)]
            some = some[_order(self.prompt[some])]
            yield Drawn(self.prompt[some], self.fact[some], self.weights[some])


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


def bounds(
    stem: str,
    estimate: xr.DataArray,
    found: np.ndarray,
    facts: np.ndarray,
    drawn: Means,
    interval: float,
) -> dict[str, xr.DataArray]:
    """``stem_low`` and ``stem_high`` of a mean over prompts; NaN for fewer facts than are `enough`.

    Parameters
    ----------
    estimate : DataArray (noise, ...)
        The mean, whose labels they have.
    found : array [prompt, noise, ...]
        What it is the mean of, NaN where a prompt does not count.
    facts : array [prompt]
    drawn : Means
        Of every resample.
    """
    mean, error, n_facts = mean_over_facts(found, facts)
    ends = studentised(mean, error, drawn.mean, drawn.error, interval)
    ends = np.where(enough(n_facts).reshape(-1, *[1] * (mean.ndim - 1)), ends, np.nan)
    return {
        f"{stem}_{name}": estimate.copy(data=end) for name, end in zip(("low", "high"), ends, strict=True)
    }


def _order(numbers: np.ndarray) -> np.ndarray:
    """Stable, of numbers from 0; numbers of few bits are sorted by their digits, several times faster."""
    return numbers.astype(np.min_scalar_type(numbers.max(initial=0))).argsort(kind="stable")


def _members(facts: np.ndarray) -> np.ndarray:
    """The prompts of each fact [fact, prompt of it], facts as they first occur; -1: it has no more."""
    _, which = np.unique(facts, return_inverse=True)
    by_fact = [np.flatnonzero(which == fact) for fact in dict.fromkeys(which.tolist())]
    members = np.full((len(by_fact), max(map(len, by_fact))), -1)
    for fact, prompts in enumerate(by_fact):
        members[fact, : len(prompts)] = prompts
    return members
