"""How the final token's hidden state moves through depth, and whether it moves where the answer arrives.

With h_d the state at depth d, block l makes the step s_l = h_(l+1) - h_l. Steps, and what compares two
neighbouring states or steps, are indexed by layer; what belongs to one state is indexed by depth. The
first and the last steps are often many times the others: `crop` leaves them out.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
import xarray as xr

from strata.attention.names import OFFSET
from strata.attention.precision import as_float32
from strata.names import CATEGORY, CHANNEL, DEPTH, FACT, LAYER, MEASURE, NOISE, PROMPT, TOKEN
from strata.stats.bootstrap import Bootstrap
from strata.stats.defined import mean_of_defined, percentiles, ratio
from strata.stats.draws import tile_sizes
from strata.stats.groups import each, masks_by_category, with_pooled
from strata.stats.many_tests import with_adjusted
from strata.stats.permutation import p_value, permuted_within
from strata.stats.seeding import generator

MEASURES = ("norm", "step", "relative_step", "growth", "cosine_state", "cosine_step")
"""See `motion`."""

STEP_MEASURES = MEASURES[1:]
"""Those with a value for each block, which can be large or small where a transition is."""

POOLED = "pooled"
"""Of which categories a group of the category dimension is made, separated by spaces; empty for one alone."""

PIECE = 64
"""Prompts whose states are in memory at once."""

Pooled = Mapping[str, Sequence[str]]
NOTHING: Pooled = MappingProxyType({})

SHUFFLED_VALUES = 2_000_000
"""Shuffles × prompts held at once (16 MB)."""

SHUFFLED = 0.95
"""Share of the shuffles between ``shuffled_low`` and ``shuffled_high``."""


def analyse(
    resid: xr.DataArray,
    prompts: pd.DataFrame,
    transition: xr.DataArray,
    *,
    cropped: int,
    n_offsets: int,
    shuffles: int,
    resamples: int,
    interval: float,
    seed: int,
    pooled: Pooled = NOTHING,
) -> xr.Dataset:
    """Everything about the motion of the final token's state: `motion`, `average` and `at_transition`.

    Parameters
    ----------
    resid, prompts
        See `motion`.
    transition : DataArray (prompt, noise)
        Transition depths, NaN where undefined; a prompt that is missing counts as undefined.
    cropped, n_offsets, shuffles
        See `at_transition`.
    resamples, interval, seed
        Of the bootstrap over prompts; the seed is also that of the shuffles.
    pooled
        Groups of categories, see `average`.

    Returns
    -------
    Dataset, float32
        The measures of every prompt are called ``{measure}_prompt``, the averages ``{measure}``. Coordinate
        `POOLED` (category).
    """
    by_prompt = motion(resid, prompts)
    averages = average(by_prompt, resamples=resamples, interval=interval, seed=seed, pooled=pooled)
    tested = at_transition(
        by_prompt,
        transition,
        cropped=cropped,
        n_offsets=n_offsets,
        shuffles=shuffles,
        seed=seed,
        pooled=pooled,
    )
    by_prompt = by_prompt.rename({name: f"{name}_prompt" for name in MEASURES})
    everything = xr.merge([averages, tested, by_prompt], join="exact", compat="no_conflicts")
    everything.attrs = averages.attrs | tested.attrs
    members = [" ".join(pooled.get(category, ())) for category in everything[CATEGORY].values]
    everything = everything.assign_coords({POOLED: (CATEGORY, members)})
    return as_float32(everything)


def motion(resid: xr.DataArray, prompts: pd.DataFrame) -> xr.Dataset:
    """How the final token's state moves, for every prompt that is accepted and has a subject.

    Parameters
    ----------
    resid : DataArray (depth, token, channel)
        With ``prompt`` (token); the tokens of a prompt stand in a row.
    prompts : DataFrame
        As `strata.io.read_prompts` reads it.

    Returns
    -------
    Dataset
        ``norm`` (prompt, depth): |h_d|, in the units of the residual stream. By (prompt, layer):
        ``step`` |s_l|, the same units; ``relative_step`` |s_l| / |h_l|; ``growth``
        ln(|h_(l+1)| / |h_l|); ``cosine_state`` cos(h_l, h_(l+1)); ``cosine_step`` cos(s_(l-1), s_l),
        near 1 while the state goes on in one direction, NaN for layer 0 and where a step is zero.
        Coordinates ``prompt_category`` and ``prompt_fact`` (prompt).

    Raises
    ------
    ValueError
        If no prompt is accepted and has a subject.
    KeyError
        If such a prompt has no tokens.
    """
    chosen = prompts[prompts["accepted"] & (prompts["subject_position"] >= 0)]
    if chosen.empty:
        raise ValueError("no prompt is accepted and has a subject")
    last_token = pd.Series(range(resid.sizes[TOKEN]), index=resid[PROMPT].values).groupby(level=0).max()
    last = last_token.loc[chosen["id"]].to_numpy()
    pieces = [
        _measured(resid.isel({TOKEN: some}).transpose(TOKEN, DEPTH, CHANNEL).values.astype(float))
        for some in np.split(last, range(PIECE, len(last), PIECE))
    ]
    measured = {name: np.concatenate([piece[name] for piece in pieces]) for name in MEASURES}
    fields = {name: ((PROMPT, LAYER), measured[name]) for name in STEP_MEASURES}
    fields["norm"] = ((PROMPT, DEPTH), measured["norm"])
    coordinates = {
        PROMPT: chosen["id"].to_numpy(object),
        DEPTH: resid[DEPTH].values,
        LAYER: np.arange(resid.sizes[DEPTH] - 1),
        "prompt_category": (PROMPT, chosen[CATEGORY].to_numpy(object)),
        "prompt_fact": (PROMPT, chosen[FACT].to_numpy(object)),
    }
    return xr.Dataset(fields, coordinates)


def _measured(states: np.ndarray) -> dict[str, np.ndarray]:
    """`MEASURES` (prompt, depth or layer) of final tokens' states (prompt, depth, channel)."""
    steps = np.diff(states, axis=1)
    norm, step = np.linalg.norm(states, axis=-1), np.linalg.norm(steps, axis=-1)
    cosine_step = np.full(step.shape, np.nan)
    cosine_step[:, 1:] = _cosine(steps)
    return {
        "norm": norm,
        "step": step,
        "relative_step": step / norm[:, :-1],
        "growth": np.diff(np.log(norm), axis=1),
        "cosine_state": _cosine(states),
        "cosine_step": cosine_step,
    }


def average(
    motion: xr.Dataset, *, resamples: int, interval: float, seed: int, pooled: Pooled = NOTHING
) -> xr.Dataset:
    """Means over prompts by category, over all, and over categories pooled, with bootstrap intervals.

    Parameters
    ----------
    motion : Dataset
        As `motion` returns it.
    resamples, interval, seed
        Of the bootstrap over prompts; ``interval`` is a coverage, e.g. 0.95.
    pooled
        Categories that are also taken together, by a name that stands among the categories; left out,
        where fewer than two of them have prompts.

    Returns
    -------
    Dataset
        For every measure x: ``x`` (category, depth or layer), ``x_low``, ``x_high`` (NaN where prompts
        ask too few facts) and ``x_n`` (category), the number of prompts.
    """
    bootstrap = Bootstrap(resamples, interval, seed)
    groups = with_pooled(masks_by_category(motion["prompt_category"].values), pooled)
    averages = []
    for name in MEASURES:
        along = DEPTH if name == "norm" else LAYER
        values = motion[name].dropna(along, how="all").transpose(along, PROMPT)
        facts = motion["prompt_fact"].values
        means = bootstrap.by_category(name, np.mean, values.values, groups, (along,), facts)
        averages.append(means.assign_coords({along: values[along]}))
    averages = xr.merge(averages, join="outer", compat="no_conflicts")
    return averages.assign_attrs(resamples=resamples, interval=interval, seed=seed)


def crop(motion: xr.Dataset, depths: int) -> xr.Dataset:
    """The middle of depth: without the first and the last ``depths`` depths, and the steps that touch them.

    Parameters
    ----------
    motion : Dataset
        With dims depth and layer, as `motion` or `average` returns it.

    Raises
    ------
    ValueError
        If fewer than three depths, that is two steps, would be left.
    """
    n_layers = motion.sizes[DEPTH] - 1
    if not 0 <= depths <= (n_layers - 2) / 2:
        raise ValueError(f"cropping {depths} depths at either end of {n_layers + 1} must leave three")
    last = n_layers - depths
    middle = motion.isel({DEPTH: slice(depths, last + 1), LAYER: slice(depths, last)})
    # The first step that is left has none before it.
    turns = [name for name in middle if name.startswith("cosine_step") and LAYER in middle[name].dims]
    return middle.assign({name: middle[name].where(middle[LAYER] > depths) for name in turns})


def at_transition(
    motion: xr.Dataset,
    transition: xr.DataArray,
    *,
    cropped: int,
    n_offsets: int,
    shuffles: int,
    seed: int,
    pooled: Pooled = NOTHING,
) -> xr.Dataset:
    """Is the state's motion another where restoring the final token overtakes restoring the subject?

    A transition depth in [l, l + 1) lies in the step of block l: offset 0. The statistic is the mean over
    prompts of x at offset 0 less x's mean over the prompt's other layers. Every model has layers that move
    the state more than others, whatever the prompt; so the statistic is compared with what it is when
    transition depths are shuffled among the prompts of a category, which keeps both that profile and the
    distribution of transitions. Those of one fact's prompts stay together, and change places with those of a
    fact of as many prompts (`strata.stats.permutation.permuted_within`). Prompts whose transition is
    undefined or cropped off are left out, and for cosines of steps those with a step of zero.

    Parameters
    ----------
    motion : Dataset
        As `motion` returns it.
    transition : DataArray (prompt, noise)
        In depths, NaN where undefined; a prompt that is missing counts as undefined.
    cropped : int
        Depths left out at either end, see `crop`.
    n_offsets : int
        Offsets from -n to n are given.
    shuffles : int
        Of the transition depths.
    seed : int
        Of the shuffles.
    pooled
        See `average`; shuffles stay within each category.

    Returns
    -------
    Dataset
        By (measure, noise, category), "all" among the categories: ``excess``, the statistic;
        ``excess_shuffled``, its mean over shuffles; ``p``, two-sided, NaN where shuffling cannot change
        anything since the transitions of each category lie in one layer, and ``p_adjusted`` for all of these
        tests; ``at_transition`` and
        ``elsewhere``, the two means of which the statistic is the difference; ``n`` prompts. With offset:
        ``aligned``, the mean over prompts at so many layers after the transition; ``shuffled``, its mean
        over shuffles, ``shuffled_low`` and ``shuffled_high``, between which 95 % of the shuffles lie;
        ``aligned_n`` prompts that have a value there.

    Raises
    ------
    ValueError
        If there are no shuffles, or the crop leaves too little.
    """
    if shuffles < 1:
        raise ValueError(f"shuffles must be at least 1, not {shuffles}")
    middle = crop(motion, cropped)
    layers = np.floor(transition.reindex({PROMPT: motion[PROMPT].values}))
    first = int(middle[LAYER][0])
    offsets = xr.DataArray(np.arange(-n_offsets, n_offsets + 1), dims=OFFSET, name=OFFSET)
    groups = with_pooled(masks_by_category(motion["prompt_category"].values), pooled)

    def test(measure: str, noise: str, category: str) -> xr.Dataset:
        values = middle[measure].transpose(PROMPT, LAYER).values
        at = layers.sel({NOISE: noise}).values - first
        lowest = int(measure == "cosine_step")  # the first block that is left has none before it
        kept = groups[category] & (at >= lowest) & (at < values.shape[1])
        kept &= np.isfinite(values[:, lowest:]).all(axis=1)
        names, facts = (motion[f"prompt_{name}"].values[kept] for name in (CATEGORY, FACT))
        at, rng = at[kept].astype(int), generator(seed)
        sizes = tile_sizes(shuffles, max(1, kept.sum()), SHUFFLED_VALUES)
        placed = (permuted_within(rng, at, names, facts, size) for size in sizes)
        return _test(values[kept], at, placed, offsets)

    def tests(measure: str) -> xr.Dataset:
        return each(NOISE, noises, lambda n: each(CATEGORY, groups, lambda c: test(measure, n, c)))

    noises = layers[NOISE].values
    tested = with_adjusted(each(MEASURE, STEP_MEASURES, tests), "p")
    of_noise = {name: c for name, c in transition.coords.items() if c.dims == (NOISE,)}
    return tested.assign_coords(of_noise).assign_attrs(cropped=cropped, shuffles=shuffles, seed=seed)


def _test(
    values: np.ndarray,
    layers: np.ndarray,
    shuffled: Iterable[np.ndarray],
    offsets: xr.DataArray,
) -> xr.Dataset:
    """Statistics of one measure: ``values`` (prompt, layer) at the ``layers`` of transition (prompt).

    ``shuffled`` are other layers, for comparison, some shuffles (shuffle, prompt) at a time.
    """
    n = len(values)
    if not n:
        empty = xr.full_like(offsets, np.nan, float)
        fields = dict.fromkeys(("excess", "excess_shuffled", "p", "at_transition", "elsewhere"), np.nan)
        fields |= dict.fromkeys(("aligned", "shuffled", "shuffled_low", "shuffled_high"), empty)
        return xr.Dataset(fields | {"n": 0, "aligned_n": xr.zeros_like(offsets)}, {OFFSET: offsets})
    each, reach = np.arange(n), int(offsets.max())
    total, count = np.nansum(values, axis=1), np.isfinite(values).sum(axis=1)
    padded = np.pad(values, ((0, 0), (reach, reach)), constant_values=np.nan)

    def means(placed: np.ndarray) -> np.ndarray:
        """Means over prompts (statistic, row): here, elsewhere, here less elsewhere, at each offset."""
        here = values[each, placed]  # (row, prompt)
        elsewhere = (total - here) / (count - 1)
        by_offset = (padded[each, placed + reach + offset] for offset in offsets.values)
        aligned = [mean_of_defined(shifted, -1) for shifted in by_offset]
        return np.stack([here.mean(1), elsewhere.mean(1), (here - elsewhere).mean(1), *aligned])

    # Row 0 is the truth, the others are shuffled.
    rows, constant = [means(layers[None])], True
    for placed in shuffled:
        rows.append(means(placed))
        constant &= bool((placed == layers).all())
    here, elsewhere, excess, *by_offset = np.concatenate(rows, axis=1)
    distance = np.abs(excess - excess[1:].mean())
    # Rounding makes equal shuffles differ in the last digits.
    as_far = distance[1:] >= distance[0] * (1 - 1e-9) - 1e-12

    aligned = np.stack(by_offset)  # (offset, row)
    aligned_n = [np.isfinite(padded[each, layers + reach + offset]).sum() for offset in offsets.values]
    low, high = percentiles(aligned[:, 1:], SHUFFLED)
    return xr.Dataset(
        {
            "excess": excess[0],
            "excess_shuffled": excess[1:].mean(),
            "p": np.nan if constant else p_value(as_far),
            "at_transition": here[0],
            "elsewhere": elsewhere[0],
            "n": n,
            "aligned": (OFFSET, aligned[:, 0]),
            "shuffled": (OFFSET, mean_of_defined(aligned[:, 1:], -1)),
            "shuffled_low": (OFFSET, low),
            "shuffled_high": (OFFSET, high),
            "aligned_n": (OFFSET, aligned_n),
        },
        {OFFSET: offsets},
    )


def _cosine(vectors: np.ndarray) -> np.ndarray:
    """Cosine of neighbours along the last axis but one; NaN next to a zero vector."""
    norm = np.linalg.norm(vectors, axis=-1)
    product = norm[:, :-1] * norm[:, 1:]
    dot = (vectors[:, :-1] * vectors[:, 1:]).sum(axis=-1)
    return ratio(dot, product)
