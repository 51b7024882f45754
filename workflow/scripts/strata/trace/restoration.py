"""Statistics of causal traces: how much of the answer one restored state brings back.

A trace gives the target's probability ``p`` with one state put back in the corrupted run (ROME,
Meng et al. 2022, section 2). Normalised, 0 is the corrupted run and 1 the clean one:

    restoration = (mean p - mean p_corrupted) / (p_clean - mean p_corrupted)

with means over the noise samples of one prompt (those it has: where there are fewer subjects to put
in the place of its own than draws of noise, the rest is NaN). It is a ratio of means, not a mean of ratios: a
single sample in which the noise did little has a denominator near zero and would swamp the rest.
Other measures of the answer (`MEASURES`) are normalised likewise. Prompts count equally in a
category's average. A prompt whose noise takes away less than ``min_gap`` of its clean value is left
out (``included``), since there is nothing to restore.

What is restored is a state, indexed by depth, or the output of a window of layers, indexed by layer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from strata.names import CATEGORY, DEPTH, LAYER, NOISE, POSITION, PROMPT, SAMPLE, SITE
from strata.stats.seeding import generator
from strata.trace.names import (
    MIN_GAP,
    N_TOKENS,
    SUBJECT_LENGTH,
    SUBJECT_POSITION,
    SUBJECT_START,
    SUBJECT_TOKEN,
)


@dataclass(frozen=True)
class Measure:
    """Where a trace keeps the clean and corrupted values of a measure of the answer.

    ``clean`` is None where the clean value is 0 by definition; the probability of the target then
    decides which prompts are left out.
    """

    label: str
    clean: str | None
    corrupted: str


PROBABILITY = "p_target"
MEASURES = {
    PROBABILITY: Measure("probability of the target", "p_clean", "p_corrupted"),
    "logit_difference": Measure(
        "logit above the clean top alternative",
        "logit_difference_clean",
        "logit_difference_corrupted",
    ),
    "kl_clean": Measure("KL from the clean distribution", None, "kl_clean_corrupted"),
    "p_set": Measure("probability of the named completions", "p_set_clean", "p_set_corrupted"),
}
SUBJECT, FINAL = SITES = ("subject", "final")
MARGIN = 1e-4  # by which the final token must lead: below it, float32 noise decides
NEVER, FROM_START, EXCLUDED = "never overtakes", "ahead from the start", "excluded"
RUN = "run"  # the state's and the severed one, side by side
TILE_VALUES = 8_000_000  # float64 values of a bootstrap tile: 64 MB


def corrupted_gap(trace: xr.Dataset, measure: str = PROBABILITY) -> xr.DataArray:
    """What the noise takes away, clean - mean corrupted, (prompt, noise), in the measure's unit."""
    with xr.set_options(arithmetic_join="exact"):
        return _clean(trace, measure) - _corrupted(trace, measure).mean(SAMPLE)


def taken_share(trace: xr.Dataset, measure: str = PROBABILITY) -> xr.DataArray:
    """Share of the clean value that each draw of noise takes away, (prompt, noise, sample).

    Of a measure whose clean value is 0, the share of the target's probability.
    """
    if MEASURES[measure].clean is None:
        measure = PROBABILITY
    with xr.set_options(arithmetic_join="exact"):
        clean = _clean(trace, measure)
        return ((clean - _corrupted(trace, measure)) / clean).transpose(PROMPT, NOISE, SAMPLE)


def included(trace: xr.Dataset, min_gap: float, measure: str = PROBABILITY) -> xr.DataArray:
    """Whether the noise takes at least ``min_gap`` of the clean value, (prompt, noise).

    Raises
    ------
    ValueError
        If ``min_gap`` is not a share above 0 and at most 1.
    """
    if not 0 < min_gap <= 1:
        raise ValueError(f"min_gap is a share of the clean probability in (0, 1], not {min_gap}")
    return taken_share(trace, measure).mean(SAMPLE) >= min_gap


def normalise(trace: xr.Dataset, min_gap: float, measure: str = PROBABILITY) -> xr.DataArray:
    """Restoration of every site of every prompt, a ratio of sample means.

    Parameters
    ----------
    trace : Dataset
        ``p_target`` (prompt, noise, sample, depth or layer, position), ``p_clean`` (prompt) and
        ``p_corrupted`` (prompt, noise, sample), where one sample is one draw of noise in both; or
        the variables of another measure.
    min_gap : float
        Share of the clean value that the noise must take away, in (0, 1].
    measure : str
        A key of `MEASURES`.

    Returns
    -------
    DataArray (prompt, noise, depth or layer, position)
        No unit; NaN for excluded prompts, before the subject and after the prompt's end.
    """
    with xr.set_options(arithmetic_join="exact"):
        lift = (trace[measure].astype(float) - _corrupted(trace, measure)).mean(SAMPLE)
        return lift / corrupted_gap(trace, measure).where(included(trace, min_gap, measure))


def at_sites(values: xr.DataArray, trace: xr.Dataset) -> xr.DataArray:
    """``values`` (prompt, ..., position) at the subject and at the final token: (prompt, ..., site)."""
    where = {SUBJECT: trace[SUBJECT_POSITION], FINAL: trace[N_TOKENS] - 1}
    picked = [_at(values, position) for position in where.values()]
    return xr.concat(picked, dim=xr.DataArray(list(where), dims=SITE, name=SITE), join="exact")


def transition_depth(restoration: xr.DataArray, margin: float = MARGIN) -> xr.Dataset:
    """The depth at which restoring the final token overtakes restoring the subject.

    It is the depth from which the final token stays ahead: the zero of the final token's lead after
    the *last* depth at which it does not lead by more than ``margin``, on a straight line between
    that depth and the next. Earlier crossings that are taken back do not count; ``n_overtakings``
    says how many there were in all.

    Parameters
    ----------
    restoration : DataArray (site, depth, ...)
        Depth ascending: the state entering block d, 0..L-1.
    margin : float
        Lead (of restoration, no unit) that counts as being ahead.

    Returns
    -------
    Dataset
        ``transition_depth`` (...), in depths, NaN where undefined; ``transition_reason`` (...), why
        it is undefined ("never overtakes", "ahead from the start", "excluded") or "";
        ``n_overtakings`` (...).
    """
    lead = restoration.sel({SITE: FINAL}, drop=True) - restoration.sel({SITE: SUBJECT}, drop=True)
    lead = lead.transpose(..., DEPTH)
    template = lead.isel({DEPTH: 0}, drop=True)
    ahead = lead.values > margin
    reason = np.select(
        [np.isnan(lead.values).any(-1), ~ahead[..., -1], ahead.all(-1)],
        [EXCLUDED, NEVER, FROM_START],
        default="",
    )
    return xr.Dataset(
        {
            "transition_depth": template.copy(data=_crossing(lead.values, lead[DEPTH].values, margin)),
            "transition_reason": template.copy(data=reason.astype(object)),
            "n_overtakings": template.copy(data=(ahead[..., 1:] & ~ahead[..., :-1]).sum(-1)),
        }
    )


def average_by_category(
    trace: xr.Dataset,
    *,
    min_gap: float,
    n_resamples: int,
    interval: float,
    seed: int,
    measure: str = PROBABILITY,
) -> xr.Dataset:
    """Average restoration of subject and final token, and transition depths, by category.

    Intervals are percentiles of a hierarchical bootstrap: prompts of a category are drawn with
    replacement, then the noise samples of each drawn prompt. Every resample goes through the whole
    estimator, the rule of exclusion too. Noise levels share a resample, but for those of which a
    prompt lacks samples. A category's resamples are seeded by ``seed`` and its name, so that another
    category's prompts change nothing; fewer than two included prompts give no interval (NaN).

    Parameters
    ----------
    trace : Dataset
        See `normalise`; with ``category``, ``subject_position`` and ``n_tokens`` (prompt).
    min_gap : float
        Share of the clean value that the noise must take away, in (0, 1].
    n_resamples : int
        Bootstrap resamples.
    interval : float
        Coverage of the intervals, e.g. 0.95.
    seed : int
        Of the bootstrap.
    measure : str
        A key of `MEASURES`.

    Returns
    -------
    Dataset
        By (category, noise): ``restoration``, ``restoration_low``, ``restoration_high`` (..., site,
        depth or layer), ``n_prompts`` and ``n_excluded``, neither of which counts a prompt without a
        value of the measure: one that names no set of completions, say.
        By (prompt, noise): ``included``, ``gap_share`` (lost share of the clean value),
        ``restoration_prompt`` (..., site, depth or layer).
        Of states also ``transition_mean``, ``transition_low``, ``transition_high`` (depths) and
        ``n_transition`` (prompts whose transition is defined) by (category, noise), and
        ``transition_depth``, ``transition_reason``, ``n_overtakings`` by (prompt, noise): windows of
        layers overlap, and have no depth of transition.
        Coordinate ``prompt_category`` (prompt). Categories keep their order.

    Raises
    ------
    ValueError
        If a dimension is missing, a site of a prompt is NaN, or an argument is impossible.
    """
    _check(trace, measure, n_resamples, interval)
    axis = depth_or_layer(trace, measure)
    sites = at_sites(trace[measure].astype(float), trace)
    samples = Samples.of(trace, sites.transpose(PROMPT, NOISE, SAMPLE, SITE, axis), measure)
    restoration = at_sites(normalise(trace, min_gap, measure), trace).transpose(PROMPT, NOISE, SITE, axis)
    by_prompt = xr.Dataset(
        {
            "included": included(trace, min_gap, measure).reset_coords(drop=True),
            "gap_share": taken_share(trace, measure).mean(SAMPLE).reset_coords(drop=True),
            "restoration_prompt": restoration,
        }
    )
    if axis == DEPTH:
        by_prompt = by_prompt.assign(transition_depth(restoration).data_vars)
    measured = (_clean(trace, measure) + xr.zeros_like(trace[PROMPT], float)).notnull()
    by_prompt = by_prompt.assign_coords(prompt_category=(PROMPT, trace[CATEGORY].values))

    categories = list(dict.fromkeys(trace[CATEGORY].values.tolist()))
    tables = []
    for category in categories:
        rows = np.flatnonzero(trace[CATEGORY].values == category)
        table = _category_means(by_prompt.isel({PROMPT: rows}), measured.isel({PROMPT: rows}))
        restorations, transitions = [], []
        for restored in samples.rows(rows).resampled(min_gap, n_resamples, generator(seed, category)):
            restorations.append(_mean_of_defined(restored))
            if axis == DEPTH:
                lead = restored[..., SITES.index(FINAL), :] - restored[..., SITES.index(SUBJECT), :]
                transitions.append(_mean_of_defined(_crossing(lead, trace[DEPTH].values, MARGIN)))
        bounds = _bounds("restoration", table["restoration"], table["n_prompts"], restorations, interval)
        if axis == DEPTH:
            mean, count = table["transition_mean"], table["n_transition"]
            bounds |= _bounds("transition", mean, count, transitions, interval)
        tables.append(table.assign(bounds))
    names = xr.DataArray(categories, dims=CATEGORY, name=CATEGORY)
    result = xr.concat(tables, dim=names, join="exact").merge(by_prompt, join="exact")
    result = result.assign_coords(_noise_coords(trace))
    return result.assign_attrs(
        measure=measure, min_gap=min_gap, n_resamples=n_resamples, interval=interval, bootstrap_seed=seed
    )


def average_by_gap(trace: xr.Dataset, min_gaps: Sequence[float], **options) -> xr.Dataset:
    """`average_by_category` with the rule of exclusion loosened and tightened, along ``min_gap``.

    Every rule is tried on the same resamples. ``options`` are those of `average_by_category`.
    """
    tables = [average_by_category(trace, min_gap=gap, **options) for gap in min_gaps]
    gaps = xr.DataArray(list(min_gaps), dims=MIN_GAP, name=MIN_GAP)
    hang_on_rule = [name for name in tables[0].data_vars if name != "gap_share"]
    joined = xr.concat(tables, dim=gaps, data_vars=hang_on_rule, join="exact", compat="equals")
    joined.attrs.pop("min_gap")
    return joined


def left_out(averages: xr.Dataset) -> pd.DataFrame:
    """The prompts that the rule left out of the averages: prompt, category, noise, min_gap, gap_share.

    The share is NaN where a prompt has no sample at a noise level, or no value of the measure.

    ``averages`` is of `average_by_category` or `average_by_gap`.
    """
    if MIN_GAP not in averages.dims:
        averages = averages.expand_dims({MIN_GAP: [averages.attrs["min_gap"]]})
    table = averages[["included", "gap_share"]].to_dataframe(dim_order=[MIN_GAP, NOISE, PROMPT]).reset_index()
    table = table.rename(columns={"prompt_category": CATEGORY})[~table["included"]]
    return table[[PROMPT, CATEGORY, NOISE, MIN_GAP, "gap_share"]].reset_index(drop=True)


def severed_share(
    state: xr.Dataset,
    severed: xr.Dataset,
    *,
    min_gap: float,
    n_resamples: int,
    interval: float,
    seed: int,
    min_effect: float = 0.1,
    measure: str = PROBABILITY,
) -> xr.Dataset:
    """What remains of a restored state's effect when MLPs, or attention, stay at corrupted values.

    ROME's path-specific test (Meng et al. 2022, section 2.2): the share that is gone flowed through
    the severed parts. It is a ratio of category means, effect(severed) / effect(state), both
    normalised by the same corrupted and clean runs; its interval is of the bootstrap of
    `average_by_category`, with both runs on the same prompts and noise samples.

    Parameters
    ----------
    state, severed : Dataset
        Traces of the same prompts with the same noise; see `average_by_category`.
    min_effect : float
        Mean restoration of the state below which the share is not stated (NaN): nothing by nothing.

    Returns
    -------
    Dataset
        By (category, noise): ``share``, ``share_low``, ``share_high``, ``effect_state``,
        ``effect_severed`` (..., site, depth), no unit; ``n_prompts``, ``n_excluded``.

    Raises
    ------
    ValueError
        As `average_by_category`, or if the two traces are not of the same prompts, noise and depths.
    """
    _check(state, measure, n_resamples, interval)
    _check(severed, measure, n_resamples, interval)
    for name in (PROMPT, NOISE, DEPTH):
        if not np.array_equal(state[name].values, severed[name].values):
            raise ValueError(f"the state trace and the severed one differ in their {name}s")
    runs = [trace[measure].astype(float).reset_coords(drop=True) for trace in (state, severed)]
    sites = at_sites(xr.concat(runs, RUN, join="exact"), state)
    samples = Samples.of(state, sites.transpose(PROMPT, NOISE, SAMPLE, RUN, SITE, DEPTH), measure)
    keep = included(state, min_gap, measure).transpose(PROMPT, NOISE).values

    dims = (NOISE, SITE, DEPTH)
    coords = {NOISE: state[NOISE].values, SITE: list(SITES), DEPTH: state[DEPTH].values}
    categories = list(dict.fromkeys(state[CATEGORY].values.tolist()))
    tables = []
    for category in categories:
        rows = np.flatnonzero(state[CATEGORY].values == category)
        part, rng = samples.rows(rows), generator(seed, category)
        of_state, of_severed = _runs(part.restored(min_gap)[None])
        table = xr.Dataset(
            {
                "effect_state": (dims, of_state[0]),
                "effect_severed": (dims, of_severed[0]),
                "share": (dims, _ratio(of_severed, of_state)[0]),
                "n_prompts": (NOISE, keep[rows].sum(0)),
                "n_excluded": (NOISE, (~keep[rows]).sum(0)),
            },
            coords,
        )
        resampled = [_runs(restored) for restored in part.resampled(min_gap, n_resamples, rng)]
        shares = [_ratio(of_severed, of_state) for of_state, of_severed in resampled]
        table = table.assign(_bounds("share", table["share"], table["n_prompts"], shares, interval))
        stated = table["effect_state"] >= min_effect
        tables.append(table.assign({n: table[n].where(stated) for n in ("share", "share_low", "share_high")}))
    names = xr.DataArray(categories, dims=CATEGORY, name=CATEGORY)
    return (
        xr.concat(tables, dim=names, join="exact")
        .assign_coords(_noise_coords(state))
        .assign_attrs(
            measure=measure,
            min_gap=min_gap,
            min_effect=min_effect,
            n_resamples=n_resamples,
            interval=interval,
            bootstrap_seed=seed,
        )
    )


def average_subject_tokens(
    trace: xr.Dataset,
    *,
    min_gap: float,
    n_resamples: int,
    interval: float,
    seed: int,
    measure: str = PROBABILITY,
) -> xr.Dataset:
    """Average restoration of every token of subjects of one token, of two, ..., by depth or layer.

    It shows how an answer trickles through a subject, from its first tokens into its last, where all
    of them are noised. Prompts of all categories with as many subject tokens are averaged together.
    Parameters and intervals are those of `average_by_category`.

    Returns
    -------
    Dataset
        By (subject_length, noise): ``restoration``, ``restoration_low``, ``restoration_high`` (...,
        subject_token, depth or layer), subject_token counted from 0, NaN beyond the length;
        ``n_prompts``, ``n_excluded``.

    Raises
    ------
    ValueError
        As `average_by_category`, or if only the last token of a subject was noised and restored.
    """
    _check(trace, measure, n_resamples, interval)
    axis = depth_or_layer(trace, measure)
    lengths = (trace[SUBJECT_POSITION] - trace[SUBJECT_START] + 1).values
    token = xr.DataArray(np.arange(lengths.max()), dims=SUBJECT_TOKEN, name=SUBJECT_TOKEN)
    # Beyond its length a shorter subject stands at its last token, until that is masked below.
    position = np.minimum(trace[SUBJECT_START] + token, trace[SUBJECT_POSITION])
    tokens = _at(trace[measure].astype(float), position)
    samples = Samples.of(trace, tokens.transpose(PROMPT, NOISE, SAMPLE, SUBJECT_TOKEN, axis), measure)
    keep = included(trace, min_gap, measure).transpose(PROMPT, NOISE).values

    dims = (NOISE, SUBJECT_TOKEN, axis)
    coords = {NOISE: trace[NOISE].values, SUBJECT_TOKEN: token.values, axis: trace[axis].values}
    tables = []
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        part, rng = samples.rows(rows), generator(seed, f"{length} tokens")
        table = xr.Dataset(
            {
                "restoration": (dims, _mean_of_defined(part.restored(min_gap)[None])[0]),
                "n_prompts": (NOISE, keep[rows].sum(0)),
                "n_excluded": (NOISE, (~keep[rows]).sum(0)),
            },
            coords,
        )
        resampled = [_mean_of_defined(tile) for tile in part.resampled(min_gap, n_resamples, rng)]
        table = table.assign(
            _bounds("restoration", table["restoration"], table["n_prompts"], resampled, interval)
        )
        curves = {name: curve.where(token < length) for name, curve in table.items() if axis in curve.dims}
        tables.append(table.assign(curves))
    named = xr.DataArray(np.unique(lengths), dims=SUBJECT_LENGTH, name=SUBJECT_LENGTH)
    return (
        xr.concat(tables, dim=named, join="exact")
        .assign_coords(_noise_coords(trace))
        .assign_attrs(
            measure=measure, min_gap=min_gap, n_resamples=n_resamples, interval=interval, bootstrap_seed=seed
        )
    )


def depth_or_layer(values: xr.Dataset | xr.DataArray, variable: str | None = None) -> str:
    """Which of the two indexes the sites: states are by depth, windows of layers by layer."""
    dims = values.dims if variable is None else values[variable].dims
    return LAYER if LAYER in dims else DEPTH


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
        corrupted = _corrupted(trace, measure).transpose(PROMPT, NOISE, SAMPLE).values
        clean = _clean(trace, measure).values * np.ones(len(values))
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
        """``weights`` [instance, noise, sample]; drawn anew where a level lacks samples."""
        there = self.there[prompt]
        by_level = np.repeat(weights[:, None], len(there), axis=1)
        for level in np.flatnonzero(~there.all(-1)):
            n = there[level].sum()
            by_level[:, level] = 0 if n else np.nan
            if n:
                own = rng.multinomial(n, np.full(n, 1 / n), size=len(weights)) / n
                by_level[:, level, there[level]] = own
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
    prompts = rng.integers(n_prompts, size=(n_resamples, n_prompts))
    shares = np.full(n_samples, 1 / n_samples)
    return prompts, rng.multinomial(n_samples, shares, size=prompts.shape) / n_samples


def _crossing(lead: np.ndarray, depths: np.ndarray, margin: float) -> np.ndarray:
    """Depth [...] from which ``lead`` [..., depth] stays above zero; NaN where there is none."""
    ahead = lead > margin
    last_behind = lead.shape[-1] - 1 - np.argmax(~ahead[..., ::-1], axis=-1)
    defined = ahead[..., -1] & ~ahead.all(-1)
    below = np.where(defined, last_behind, 0)
    above = np.where(defined, last_behind + 1, 0)
    lead_below, lead_above = (
        np.take_along_axis(lead, at[..., None], axis=-1)[..., 0] for at in (below, above)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        fraction = np.clip(-lead_below / (lead_above - lead_below), 0, 1)
    return np.where(defined, depths[below] + fraction * (depths[above] - depths[below]), np.nan)


def _clean(trace: xr.Dataset, measure: str) -> xr.DataArray:
    name = MEASURES[measure].clean
    return xr.DataArray(0.0) if name is None else trace[name].astype(float)


def _corrupted(trace: xr.Dataset, measure: str) -> xr.DataArray:
    return trace[MEASURES[measure].corrupted].astype(float)


def _at(values: xr.DataArray, position: xr.DataArray) -> xr.DataArray:
    """``values`` (prompt, ..., position) at one position of each prompt."""
    values = values.reset_coords(drop=True).drop_vars(POSITION, errors="ignore")
    return values.isel({POSITION: position.astype(int).reset_coords(drop=True)})


def _noise_coords(trace: xr.Dataset) -> dict[str, xr.DataArray]:
    return {name: coord for name, coord in trace.coords.items() if coord.dims == (NOISE,)}


def _category_means(by_prompt: xr.Dataset, measured: xr.DataArray) -> xr.Dataset:
    keep = by_prompt["included"]
    means = {
        "restoration": by_prompt["restoration_prompt"].mean(PROMPT),
        "n_prompts": keep.sum(PROMPT),
        "n_excluded": (~keep & measured).sum(PROMPT),
    }
    if "transition_depth" in by_prompt:
        means |= {
            "transition_mean": by_prompt["transition_depth"].mean(PROMPT),
            "n_transition": by_prompt["transition_depth"].notnull().sum(PROMPT),
        }
    return xr.Dataset(means)


def _tiles(n_resamples: int, values_each: int) -> Iterator[int]:
    tile = max(1, TILE_VALUES // values_each)
    for start in range(0, n_resamples, tile):
        yield min(tile, n_resamples - start)


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Mean over axis 1 of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(values)
    count = defined.sum(1)
    total = np.sum(values, axis=1, where=defined)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def _runs(restored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean effects of the state and of the severed run [resample, noise, site, depth].

    ``restored`` [resample, prompt, noise, run, site, depth].
    """
    means = _mean_of_defined(restored)
    return means[:, :, 0], means[:, :, 1]


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole != 0)


def _bounds(
    stem: str, estimate: xr.DataArray, count: xr.DataArray, tiles: Sequence[np.ndarray], interval: float
) -> dict[str, xr.DataArray]:
    """Percentiles of resampled estimates; none (NaN) from fewer than two prompts."""
    values = np.concatenate(tiles)
    empty = np.isnan(values).all(0)
    shares = {"low": (1 - interval) / 2, "high": (1 + interval) / 2}
    edges = np.nanquantile(np.where(empty, 0, values), list(shares.values()), axis=0)
    return {
        f"{stem}_{end}": estimate.copy(data=edge).where(count >= 2)
        for end, edge in zip(shares, edges, strict=True)
    }


def _check(trace: xr.Dataset, measure: str, n_resamples: int, interval: float) -> None:
    if measure not in MEASURES:
        raise ValueError(f"measure is one of {', '.join(MEASURES)}, not {measure!r}")
    variables = MEASURES[measure]
    axis = depth_or_layer(trace, measure) if measure in trace else DEPTH
    needed = {
        measure: (PROMPT, NOISE, SAMPLE, axis, POSITION),
        variables.corrupted: (PROMPT, NOISE, SAMPLE),
        variables.clean: (PROMPT,),
        CATEGORY: (PROMPT,),
        SUBJECT_POSITION: (PROMPT,),
        N_TOKENS: (PROMPT,),
    }
    for name, dims in needed.items():
        found = trace[name].dims if name in trace else None
        if name is not None and (found is None or set(found) != set(dims)):
            raise ValueError(f"the trace's {name} must have dims {dims}, found {found}")
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, not {n_resamples}")
    if not 0 < interval < 1:
        raise ValueError(f"interval is a coverage in (0, 1), not {interval}")
