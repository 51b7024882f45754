"""Statistics of causal traces: how much of the answer one restored state brings back.

A trace gives the target's probability ``p`` with one state put back in the corrupted run (ROME,
Meng et al. 2022, section 2). Normalised, 0 is the corrupted run and 1 the clean one:

    restoration = (mean p - mean p_corrupted) / (p_clean - mean p_corrupted)

with means over the noise samples of one prompt. It is a ratio of means, not a mean of ratios: a
single sample in which the noise did little has a denominator near zero and would swamp the rest.
Prompts count equally in a category's average. A prompt whose noise takes away less than ``min_gap``
of its clean probability is left out (``included``), since there is nothing to restore.
"""

import hashlib
from collections.abc import Iterator

import numpy as np
import xarray as xr

from strata.names import (
    CATEGORY,
    DEPTH,
    N_TOKENS,
    NOISE,
    POSITION,
    PROMPT,
    SAMPLE,
    SITE,
    SUBJECT_POSITION,
)

SUBJECT, FINAL = SITES = ("subject", "final")
MARGIN = 1e-4  # by which the final token must lead: below it, float32 noise decides
NEVER, FROM_START, EXCLUDED = "never overtakes", "ahead from the start", "excluded"
TILE_VALUES = 8_000_000  # float64 values of a bootstrap tile: 64 MB


def corrupted_gap(trace: xr.Dataset) -> xr.DataArray:
    """What the noise takes away: p_clean - mean p_corrupted, (prompt, noise), a probability."""
    with xr.set_options(arithmetic_join="exact"):
        return trace["p_clean"] - trace["p_corrupted"].astype(float).mean(SAMPLE)


def included(trace: xr.Dataset, min_gap: float) -> xr.DataArray:
    """Whether the noise takes at least ``min_gap`` of the clean probability, (prompt, noise).

    Raises
    ------
    ValueError
        If ``min_gap`` is not a share above 0 and at most 1.
    """
    if not 0 < min_gap <= 1:
        raise ValueError(f"min_gap is a share of the clean probability in (0, 1], not {min_gap}")
    with xr.set_options(arithmetic_join="exact"):
        return corrupted_gap(trace) >= min_gap * trace["p_clean"]


def normalise(trace: xr.Dataset, min_gap: float) -> xr.DataArray:
    """Restoration of every site of every prompt, a ratio of sample means.

    Parameters
    ----------
    trace : Dataset
        ``p_target`` (prompt, noise, sample, depth, position), ``p_clean`` (prompt) and
        ``p_corrupted`` (prompt, noise, sample), where one sample is one draw of noise in both.
    min_gap : float
        Share of the clean probability that the noise must take away, in (0, 1].

    Returns
    -------
    DataArray (prompt, noise, depth, position)
        No unit; NaN for excluded prompts, before the subject and after the prompt's end.
    """
    with xr.set_options(arithmetic_join="exact"):
        p_corrupted = trace["p_corrupted"].astype(float).mean(SAMPLE)
        lift = trace["p_target"].astype(float).mean(SAMPLE, skipna=False) - p_corrupted
        return lift / corrupted_gap(trace).where(included(trace, min_gap))


def at_sites(values: xr.DataArray, trace: xr.Dataset) -> xr.DataArray:
    """``values`` (prompt, ..., position) at the subject and at the final token: (prompt, ..., site)."""
    positions = {SUBJECT: trace[SUBJECT_POSITION], FINAL: trace[N_TOKENS] - 1}
    values = values.reset_coords(drop=True).drop_vars(POSITION, errors="ignore")
    picked = [
        values.isel({POSITION: where.astype(int).reset_coords(drop=True)}) for where in positions.values()
    ]
    sites = xr.DataArray(list(positions), dims=SITE, name=SITE)
    return xr.concat(picked, dim=sites, join="exact")


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
    trace: xr.Dataset, *, min_gap: float, n_resamples: int, interval: float, seed: int
) -> xr.Dataset:
    """Average restoration of subject and final token, and transition depths, by category.

    Intervals are percentiles of a hierarchical bootstrap: prompts of a category are drawn with
    replacement, then the noise samples of each drawn prompt. Every resample goes through the whole
    estimator, the rule of exclusion too. Noise levels share a resample, as they share the draws of
    noise. A category's resamples are seeded by ``seed`` and its name, so that another category's
    prompts change nothing; fewer than two included prompts give no interval (NaN).

    Parameters
    ----------
    trace : Dataset
        See `normalise`; with ``category``, ``subject_position`` and ``n_tokens`` (prompt).
    min_gap : float
        Share of the clean probability that the noise must take away, in (0, 1].
    n_resamples : int
        Bootstrap resamples.
    interval : float
        Coverage of the intervals, e.g. 0.95.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Dataset
        By (category, noise): ``restoration``, ``restoration_low``, ``restoration_high`` (..., site,
        depth), ``n_prompts`` and ``n_excluded``, ``transition_mean``, ``transition_low``,
        ``transition_high`` (depths) and ``n_transition`` (prompts whose transition is defined).
        By (prompt, noise): ``included``, ``gap_share`` (lost share of the clean probability),
        ``restoration_prompt`` (..., site, depth), ``transition_depth``, ``transition_reason``,
        ``n_overtakings``. Coordinate ``prompt_category`` (prompt). Categories keep their order.

    Raises
    ------
    ValueError
        If a dimension is missing, a site of a prompt is NaN, or an argument is impossible.
    """
    _check(trace, n_resamples, interval)
    p_sites = at_sites(trace["p_target"].astype(float), trace)
    p_sites = p_sites.transpose(PROMPT, NOISE, SAMPLE, SITE, DEPTH)
    _check_finite(p_sites)

    keep = included(trace, min_gap)
    restoration = at_sites(normalise(trace, min_gap), trace).transpose(PROMPT, NOISE, SITE, DEPTH)
    transition = transition_depth(restoration)
    by_prompt = xr.Dataset(
        {
            "included": keep.reset_coords(drop=True),
            "gap_share": (corrupted_gap(trace) / trace["p_clean"]).reset_coords(drop=True),
            "restoration_prompt": restoration,
            **transition.data_vars,
        }
    )
    by_prompt = by_prompt.assign_coords(prompt_category=(PROMPT, trace[CATEGORY].values))

    categories = list(dict.fromkeys(trace[CATEGORY].values.tolist()))
    tables = []
    for category in categories:
        rows = np.flatnonzero(trace[CATEGORY].values == category)
        table = _category_means(by_prompt.isel({PROMPT: rows}))
        part = trace.isel({PROMPT: rows})
        resampled = _bootstrap(
            p_sites.isel({PROMPT: rows}).values,
            part["p_corrupted"].transpose(PROMPT, NOISE, SAMPLE).values.astype(float),
            part["p_clean"].values.astype(float),
            depths=trace[DEPTH].values,
            min_gap=min_gap,
            n_resamples=n_resamples,
            rng=_generator(seed, category),
        )
        tables.append(table.assign(_intervals(table, resampled, interval)))
    names = xr.DataArray(categories, dims=CATEGORY, name=CATEGORY)
    result = xr.concat(tables, dim=names, join="exact").merge(by_prompt, join="exact")
    result = result.assign_coords({n: c for n, c in trace.coords.items() if c.dims == (NOISE,)})
    return result.assign_attrs(
        min_gap=min_gap, n_resamples=n_resamples, interval=interval, bootstrap_seed=seed
    )


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


def _category_means(by_prompt: xr.Dataset) -> xr.Dataset:
    keep = by_prompt["included"]
    return xr.Dataset(
        {
            "restoration": by_prompt["restoration_prompt"].mean(PROMPT),
            "n_prompts": keep.sum(PROMPT),
            "n_excluded": (~keep).sum(PROMPT),
            "transition_mean": by_prompt["transition_depth"].mean(PROMPT),
            "n_transition": by_prompt["transition_depth"].notnull().sum(PROMPT),
        }
    )


def _bootstrap(
    p_sites: np.ndarray,
    p_corrupted: np.ndarray,
    p_clean: np.ndarray,
    *,
    depths: np.ndarray,
    min_gap: float,
    n_resamples: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Resampled mean restoration [resample, noise, site, depth] and transition [resample, noise].

    ``p_sites`` [prompt, noise, sample, site, depth], ``p_corrupted`` [prompt, noise, sample].
    """
    n_prompts, n_noise, n_samples, n_sites, n_depths = p_sites.shape
    flat = p_sites.reshape(n_prompts, n_noise, n_samples, -1)
    restorations, transitions = [], []
    for size in _tiles(n_resamples, n_prompts * n_noise * n_sites * n_depths):
        drawn, weights = draw_resamples(rng, n_prompts, n_samples, size)
        restored = np.full((size, n_prompts, n_noise, n_sites * n_depths), np.nan)
        for prompt in range(n_prompts):
            where = np.nonzero(drawn == prompt)
            share = weights[where]  # [instance, sample]
            corrupted = share @ p_corrupted[prompt].T  # [instance, noise]
            gap = p_clean[prompt] - corrupted
            gap[gap < min_gap * p_clean[prompt]] = np.nan
            lift = (share @ flat[prompt]).swapaxes(0, 1) - corrupted[..., None]
            restored[where] = lift / gap[..., None]
        restored = restored.reshape(size, n_prompts, n_noise, n_sites, n_depths)
        lead = restored[..., SITES.index(FINAL), :] - restored[..., SITES.index(SUBJECT), :]
        restorations.append(_mean_of_defined(restored))
        transitions.append(_mean_of_defined(_crossing(lead, depths, MARGIN)))
    return np.concatenate(restorations), np.concatenate(transitions)


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


def _intervals(
    table: xr.Dataset, resampled: tuple[np.ndarray, np.ndarray], interval: float
) -> dict[str, xr.DataArray]:
    bounds = {}
    for name, count, values in zip(
        ("restoration", "transition_mean"), ("n_prompts", "n_transition"), resampled, strict=True
    ):
        stem = name.removesuffix("_mean")
        for end, share in (("low", (1 - interval) / 2), ("high", (1 + interval) / 2)):
            empty = np.isnan(values).all(0)
            edge = np.nanquantile(np.where(empty, 0, values), share, axis=0)
            bounds[f"{stem}_{end}"] = table[name].copy(data=edge).where(table[count] >= 2)
    return bounds


def _generator(seed: int, category: str) -> np.random.Generator:
    digest = hashlib.sha256(category.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])


def _check(trace: xr.Dataset, n_resamples: int, interval: float) -> None:
    needed = {
        "p_target": (PROMPT, NOISE, SAMPLE, DEPTH, POSITION),
        "p_corrupted": (PROMPT, NOISE, SAMPLE),
        "p_clean": (PROMPT,),
        CATEGORY: (PROMPT,),
        SUBJECT_POSITION: (PROMPT,),
        N_TOKENS: (PROMPT,),
    }
    for name, dims in needed.items():
        found = trace[name].dims if name in trace else None
        if found is None or set(found) != set(dims):
            raise ValueError(f"the trace's {name} must have dims {dims}, found {found}")
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, not {n_resamples}")
    if not 0 < interval < 1:
        raise ValueError(f"interval is a coverage in (0, 1), not {interval}")


def _check_finite(p_sites: xr.DataArray) -> None:
    bad = p_sites.isnull().any([NOISE, SAMPLE, SITE, DEPTH])
    if bad.any():
        ids = ", ".join(map(str, p_sites[PROMPT].values[bad.values]))
        raise ValueError(f"p_target is NaN at the subject or the final token of: {ids}")
