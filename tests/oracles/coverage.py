"""How often intervals cover a truth that is known: each kind of interval on data made by a design."""

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from oracles.transitions import ORDER, planted
from strata.stats.bootstrap import Bootstrap
from strata.stats.draws import interval_of_mean
from strata.stats.ranks import concordance, spearman
from strata.stats.seeding import generator
from strata.trace.averages import average_by_category
from strata.trace.effects import cliffs_delta, hedges_g, mean_difference
from strata.trace.order import trend
from strata.trace.regression import regression
from strata.trace.testing import Resampling

RESAMPLES, INTERVAL = 500, 0.95


def _rounded(rng, *shape):
    return np.round(2 * rng.exponential(size=shape)) / 2


VALUES = {  # how values are drawn, and their mean
    "normal": (lambda rng, *shape: rng.normal(size=shape), 0.0),
    "exponential": (lambda rng, *shape: rng.exponential(size=shape), 1.0),
    # The mean of an exponential rounded to halves: sum over k of k / 2 P(k / 2 - 1/4 < x < k / 2 + 1/4).
    "exponential, rounded": (_rounded, float(np.sum(np.exp(-np.arange(0.25, 60, 0.5))) / 2)),
    "share, 1 in 5": (lambda rng, *shape: (rng.random(shape) < 0.2).astype(float), 0.2),
}


def mean_of_units(kind):
    """One value a unit."""
    draw, truth = VALUES[kind]

    def covers(n, rng, trial):
        low, high = interval_of_mean(draw(rng, n), RESAMPLES, INTERVAL, generator(trial))
        return low <= truth <= high

    return covers


def _prompts_of_facts(draw, n, rng, most):
    """The facts of prompts, one to ``most`` of each of n, and values, of which facts have most."""
    facts = np.repeat(np.arange(n), rng.integers(1, most + 1, n))
    return facts, draw(rng, n)[facts] + rng.normal(0, 0.3, len(facts))


def mean_over_facts(kind):
    """One value a prompt, one to three prompts a fact, which share most of what varies."""
    draw, truth = VALUES[kind]

    def covers(n, rng, trial):
        facts, values = _prompts_of_facts(draw, n, rng, 3)
        low, high = interval_of_mean(values, RESAMPLES, INTERVAL, generator(trial), facts)
        return low <= truth <= high

    return covers


def traces(kind):
    """Restoration: facts, of each one or two prompts, of each prompt two samples of noise."""
    draw, truth = VALUES[kind]

    def covers(n, rng, trial):
        facts, values = _prompts_of_facts(draw, n, rng, 2)
        trace = _trace_of(values[:, None] + rng.normal(0, 0.3, (len(facts), 2)), facts)
        options = {"min_gap": 0.1, "n_resamples": RESAMPLES, "interval": INTERVAL, "seed": trial}
        found = average_by_category(trace, **options).squeeze().sel(site="subject", depth=0)
        return bool(found["restoration_low"] <= truth <= found["restoration_high"])

    return covers


def _trace_of(restoration, facts):
    """A trace whose restoration at the subject is [prompt, sample]: clean 1, corrupted 0."""
    n, n_samples = restoration.shape
    p = np.zeros((n, 1, n_samples, 2, 3))
    p[..., 0, 1] = restoration[:, None]
    dims = ("prompt", "noise", "sample")
    return xr.Dataset(
        {"p_target": ((*dims, "depth", "position"), p), "p_corrupted": (dims, np.zeros(p.shape[:3]))},
        coords={
            "prompt": [f"p{i}" for i in range(n)],
            "noise": ["3x"],
            "depth": [0, 1],
            "p_clean": ("prompt", np.ones(n)),
            "category": ("prompt", ["c"] * n),
            "fact": ("prompt", [f"f{fact}" for fact in facts]),
            "subject_position": ("prompt", np.ones(n, int)),
            "n_tokens": ("prompt", np.full(n, 3)),
        },
    )


def _of_samples(statistic, draw, truth, **options):
    def covers(n, rng, trial):
        how = Bootstrap(RESAMPLES, INTERVAL, trial)
        low, high = how.ends(statistic, *draw(rng, n), **options)
        return low <= truth <= high

    return covers


def _correlated(rng, n):
    x = rng.normal(size=n)
    return x, 0.5 * x + np.sqrt(0.75) * rng.normal(size=n)


def _shifted(rng, n):
    return rng.normal(size=n), rng.normal(1, 1, n)


def coefficient(n, rng, trial):
    """Least squares with confounders, two prompts a fact; n facts in all."""
    table = planted(trial, n=3 * max(2 * n // 3, 1))
    number = table.groupby("category").cumcount() // 2
    shared = rng.normal(0, 0.3, (3, number.max() + 1))
    shift = shared[table["category"].map(dict(zip(ORDER, range(3), strict=True))), number]
    table = table.assign(transition_depth=table["transition_depth"] + shift)
    table = table.assign(place=table["transition_depth"], fact=table["category"] + "-" + number.astype(str))
    rows = regression(table, INTERVAL, ORDER)
    row = rows[(rows["test"] == "regression") & (rows["group"] == "plain_english")].iloc[0]
    return bool(row["low"] <= -0.4 <= row["high"])


INTERVALS = {
    **{f"mean over units, {kind}": mean_of_units(kind) for kind in VALUES},
    **{f"mean over prompts of facts, {kind}": mean_over_facts(kind) for kind in ("normal", "exponential")},
    **{f"restoration, {kind}": traces(kind) for kind in ("normal", "exponential")},
    "median, exponential": _of_samples(np.median, lambda rng, n: (rng.exponential(size=n),), np.log(2)),
    "rank correlation": _of_samples(
        lambda x, y, axis: spearman(x, y, axis),
        _correlated,
        6 / np.pi * np.arcsin(0.25),
        paired=True,
        lost=0.05,
        bounded=True,
    ),
    "Cliff's delta": _of_samples(cliffs_delta, _shifted, 2 * stats.norm.cdf(0.5**0.5) - 1),
    "difference of means, exponential": _of_samples(
        mean_difference, lambda rng, n: (rng.exponential(1, n), rng.exponential(2, n)), 1.0
    ),
    "Hedges' g": _of_samples(hedges_g, _shifted, 1.0),
    "share of pairs in order": _of_samples(
        concordance,
        lambda rng, n: (*_shifted(rng, n), rng.normal(1, 1, n)),
        (2 * stats.norm.cdf(0.5**0.5) + 0.5) / 3,
    ),
    "regression coefficient": coefficient,
}
"""What tells, of n units, a random generator and the trial's number, whether an interval covers the truth."""


def coverage(covers, n, trials, seed=0):
    """Share of trials in which an interval covers."""
    rng = np.random.default_rng([seed, n])
    return float(np.mean([covers(n, rng, trial) for trial in range(trials)]))


def size_of_order_test(facts, trials, level=0.05, seed=0):
    """How often the test of order is below a level where there is no order.

    ``facts`` are those of the prompts of each category; prompts of one fact cross almost together.
    """
    rng, how = np.random.default_rng(seed), Resampling(20, 199, 0.95, 0)
    found = []
    for _ in range(trials):
        parts = []
        for category, of_prompts in facts.items():
            names, which = np.unique(of_prompts, return_inverse=True)
            place = rng.normal(size=len(names))[which] + rng.normal(0, 0.3, len(which))
            parts.append(pd.DataFrame({"category": category, "fact": of_prompts, "place": place}))
        table = pd.concat(parts, ignore_index=True).assign(noise="3x", prompt=lambda t: t.index)
        found.append(trend(table, how, list(facts))["p"].iloc[0] <= level)
    return float(np.mean(found))
