"""How far first-order effects (`strata.trace.approximate`) are from exact ones, by category and depth."""

import numpy as np
import xarray as xr

from strata.names import CATEGORY, DEPTH, FACT, MEASURE, NOISE, POSITION, PROMPT, SAMPLE, SITE
from strata.stats.bootstrap import Bootstrap
from strata.stats.groups import each, masks_by_category
from strata.stats.spearman import spearman
from strata.trace.restoration import (
    MEASURES,
    PIECE,
    PROBABILITY,
    SITES,
    at_sites,
    check_trace,
    clean_values,
    corrupted_values,
    included,
    noise_coords,
    normalise,
)

COMPARED = (PROBABILITY, "logit_difference")


def compare_approximation(
    exact: xr.Dataset,
    approximate: xr.Dataset,
    *,
    min_gap: float,
    n_resamples: int,
    interval: float,
    seed: int,
) -> xr.Dataset:
    """Exact and approximate restoration, the error of the latter, and whether it ranks sites alike.

    Both are in the unit of restoration, 0 corrupted and 1 clean, scaled by the gap of the exact trace's runs
    and averaged over the noise samples of a prompt before they are compared. Intervals are of `Bootstrap`:
    facts are drawn with all their prompts.

    Parameters
    ----------
    exact, approximate : Dataset
        Traces of states of the same prompts, noise levels and samples; see
        `strata.trace.restoration.normalise`. With ``category`` and ``fact`` (prompt).
    min_gap : float
        Share of the clean value that the noise must take away for a prompt to count.
    n_resamples, interval, seed
        Of the bootstrap.

    Returns
    -------
    Dataset
        By (measure, noise, category), category ``all`` first: ``exact``, ``approximate``, ``bias``
        (approximate less exact) and ``error`` (its size in each prompt), means over prompts, by (site,
        depth); ``rank_correlation``, mean over prompts of Spearman's over all sites of a prompt, depths and
        positions, that the exact trace has. Each x with ``x_low``, ``x_high``, ``x_n``. ``n_prompts``,
        ``n_excluded``.

    Raises
    ------
    ValueError
        If a dataset is no trace of states, an argument is impossible, or the two are not of the same runs.
    """
    for trace in (exact, approximate):
        for measure in COMPARED:
            check_trace(trace, measure, n_resamples, interval)
        if DEPTH not in trace.dims:
            raise ValueError(
                f"a trace of states is by depth; there is no depth among {', '.join(trace.dims)}"
            )
    for dim in (PROMPT, NOISE, SAMPLE, DEPTH):
        if not exact[dim].equals(approximate[dim]):
            raise ValueError(f"the approximate trace has another {dim} than the exact one")
    bootstrap = Bootstrap(n_resamples, interval, seed)
    groups, facts = masks_by_category(exact[CATEGORY].values), exact[FACT].values

    def of_measure(measure: str) -> xr.Dataset:
        keep = included(exact, min_gap, measure).reset_coords(drop=True)
        measured = (clean_values(exact, measure) + xr.zeros_like(keep, float)).notnull()
        ours, theirs = (_restoration(exact, trace, measure, min_gap) for trace in (approximate, exact))
        by_site = {"exact": theirs, "approximate": ours, "bias": ours - theirs, "error": abs(ours - theirs)}
        ranks = _rank_correlation(exact, approximate, measure).where(keep)

        def of_level(level: str) -> xr.Dataset:
            found = [
                bootstrap.by_category(name, np.mean, _of(values, level), groups, (SITE, DEPTH), facts)
                for name, values in by_site.items()
            ]
            by_rank = _of(ranks, level)
            found.append(bootstrap.by_category("rank_correlation", np.mean, by_rank, groups, (), facts))
            counts = {"n_prompts": keep, "n_excluded": measured & ~keep}
            numbers = {
                name: (CATEGORY, [int(_of(chosen, level)[mask].sum()) for mask in groups.values()])
                for name, chosen in counts.items()
            }
            return xr.merge(found, join="exact").assign(numbers)

        return each(NOISE, exact[NOISE].values, of_level)

    compared = each(MEASURE, COMPARED, of_measure)
    labels = {SITE: list(SITES), DEPTH: exact[DEPTH].values}
    return compared.assign_coords(labels | noise_coords(exact)).assign_attrs(
        min_gap=min_gap, n_resamples=n_resamples, interval=interval, bootstrap_seed=seed
    )


def _of(values: xr.DataArray, level: str) -> np.ndarray:
    """The values of a noise level, (..., prompt)."""
    return values.sel({NOISE: level}).transpose(..., PROMPT).values


def _restoration(exact: xr.Dataset, trace: xr.Dataset, measure: str, min_gap: float) -> xr.DataArray:
    """Normalised values of a trace at subject and final token, (noise, site, depth, prompt)."""
    sites = at_sites(trace[measure], trace).assign_coords({PROMPT: exact[PROMPT].values})
    restored = normalise(exact.assign({measure: sites}), min_gap, measure)
    return restored.reset_coords(drop=True).transpose(NOISE, SITE, DEPTH, PROMPT)


def _rank_correlation(exact: xr.Dataset, approximate: xr.Dataset, measure: str) -> xr.DataArray:
    """Spearman's over the sites of each prompt that have an exact value, (prompt, noise)."""
    found = np.full((exact.sizes[PROMPT], exact.sizes[NOISE]), np.nan)
    for start in range(0, len(found), PIECE):
        some = {PROMPT: slice(start, start + PIECE)}
        ours, theirs = (_mean_effect(trace.isel(some), measure) for trace in (approximate, exact))
        for place in np.ndindex(theirs.shape[:2]):
            there = ~np.isnan(theirs[place])
            if there.sum() > 2:
                found[start + place[0], place[1]] = spearman(ours[place][there], theirs[place][there])
    return xr.DataArray(
        found, dims=(PROMPT, NOISE), coords={dim: exact[dim].values for dim in (PROMPT, NOISE)}
    )


def _mean_effect(trace: xr.Dataset, measure: str) -> np.ndarray:
    """Mean over samples of what each site changes, (prompt, noise, depth, position)."""
    trace = trace[[measure, MEASURES[measure].corrupted]].load()
    effect = (trace[measure].astype(float) - corrupted_values(trace, measure)).mean(SAMPLE)
    return effect.transpose(PROMPT, NOISE, DEPTH, POSITION).values
