"""What remains of a restored state's effect where MLPs, or attention, are held at corrupted values."""

import numpy as np
import xarray as xr

from strata.names import CATEGORY, DEPTH, NOISE, PROMPT, SAMPLE, SITE
from strata.stats.bootstrap import widened
from strata.stats.defined import ratio
from strata.stats.groups import named
from strata.stats.seeding import generator
from strata.trace.fact_means import mean_over_facts
from strata.trace.resampling import Samples
from strata.trace.restoration import PROBABILITY, SITES, at_sites, check_trace, included, noise_coords

RUN = "run"  # the state's and the severed one, side by side


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
    normalised by the same corrupted and clean runs; its interval is of the draws of
    `strata.trace.averages.average_by_category`, with both runs on the same prompts and noise samples
    (percentiles, `strata.stats.bootstrap.widened`).

    Parameters
    ----------
    state, severed : Dataset
        Traces of the same prompts with the same noise; see `strata.trace.averages.average_by_category`.
    min_effect : float
        Mean restoration of the state below which the share is not stated (NaN): nothing by nothing.

    Returns
    -------
    Dataset
        By (category, noise): ``share``, ``share_low``, ``share_high``, ``effect_state``,
        ``effect_severed`` (..., site, depth), no unit; ``n_prompts``, ``n_excluded``, ``n_facts``.

    Raises
    ------
    ValueError
        As `average_by_category`, or if the two traces are not of the same prompts, noise and depths.
    """
    check_trace(state, measure, n_resamples, interval)
    check_trace(severed, measure, n_resamples, interval)
    for name in (PROMPT, NOISE, DEPTH):
        if not np.array_equal(state[name].values, severed[name].values):
            raise ValueError(f"the state trace and the severed one differ in their {name}s")
    runs = [at_sites(trace[measure], state) for trace in (state, severed)]
    sites = xr.concat(runs, RUN, join="exact")
    samples = Samples.of(state, sites.transpose(PROMPT, NOISE, SAMPLE, RUN, SITE, DEPTH), measure)
    keep = included(state, min_gap, measure).transpose(PROMPT, NOISE).values

    dims = (NOISE, SITE, DEPTH)
    coords = {NOISE: state[NOISE].values, SITE: list(SITES), DEPTH: state[DEPTH].values}
    categories = list(dict.fromkeys(state[CATEGORY].values.tolist()))
    tables = []
    for category in categories:
        rows = np.flatnonzero(state[CATEGORY].values == category)
        part, rng = samples.rows(rows), generator(seed, category)
        found = mean_over_facts(part.restored(min_gap), part.facts)
        of_state, of_severed = found.mean.swapaxes(0, 1)
        table = xr.Dataset(
            {
                "effect_state": (dims, of_state),
                "effect_severed": (dims, of_severed),
                "share": (dims, ratio(of_severed, of_state)),
                "n_prompts": (NOISE, keep[rows].sum(0)),
                "n_excluded": (NOISE, (~keep[rows]).sum(0)),
            },
            coords,
        )
        [drawn] = part.means([lambda restored: restored], min_gap, n_resamples, rng)
        shares = ratio(drawn.mean[:, :, 1], drawn.mean[:, :, 0])  # [resample, noise, site, depth]
        n_facts = np.array([len(np.unique(part.facts[kept])) for kept in keep[rows].T])
        low, high = np.stack(
            [widened(shares[:, level], n, interval, axis=0) for level, n in enumerate(n_facts)], axis=1
        )
        table = table.assign(share_low=(dims, low), share_high=(dims, high), n_facts=(NOISE, n_facts))
        stated = table["effect_state"] >= min_effect
        tables.append(table.assign({n: table[n].where(stated) for n in ("share", "share_low", "share_high")}))
    return (
        xr.concat(tables, dim=named(CATEGORY, categories), join="exact")
        .assign_coords(noise_coords(state))
        .assign_attrs(
            measure=measure,
            min_gap=min_gap,
            min_effect=min_effect,
            n_resamples=n_resamples,
            interval=interval,
            bootstrap_seed=seed,
        )
    )
