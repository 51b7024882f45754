"""How often intervals cover a truth that is known: each kind of interval on data made by a design."""

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from oracles.transitions import ORDER, planted
from strata.embedding.component_properties import auc_error, spearman_interval
from strata.embedding.frequency import LEAST_TOKENS, rank_correlations
from strata.probes.syntax import centres
from strata.probes.task import accuracy
from strata.stats.bootstrap import Bootstrap, widened
from strata.stats.draws import DrawnGroups, interval_of_mean
from strata.stats.ranks import concordance, separation, spearman
from strata.stats.seeding import generator
from strata.stats.shares import interval_of_share
from strata.stats.thresholds import LEAST_OF_MIXTURE, LEAST_UNITS
from strata.stats.two_groups import interval_of_distance
from strata.trace.averages import average_by_category
from strata.trace.curves import curve_difference
from strata.trace.effects import cliffs_delta, hedges_g, mean_difference
from strata.trace.order import trend
from strata.trace.regression import regression
from strata.trace.severed import severed_share
from strata.trace.testing import Resampling

RESAMPLES, INTERVAL = 500, 0.95
FEW_RESAMPLES = 200  # where a mixture is fitted to each


def _rounded(rng, *shape):
    return np.round(2 * rng.exponential(size=shape)) / 2


VALUES = {  # how values are drawn, and their mean
    "normal": (lambda rng, *shape: rng.normal(size=shape), 0.0),
    "exponential": (lambda rng, *shape: rng.exponential(size=shape), 1.0),
    # The mean of an exponential rounded to halves: sum over k of k / 2 P(k / 2 - 1/4 < x < k / 2 + 1/4).
    "exponential, rounded": (_rounded, float(np.sum(np.exp(-np.arange(0.25, 60, 0.5))) / 2)),
}


def mean_of_units(kind):
    """One value a unit."""
    draw, truth = VALUES[kind]

    def covers(n, rng, trial):
        low, high = interval_of_mean(draw(rng, n), RESAMPLES, INTERVAL, generator(trial))
        return low <= truth <= high

    return covers


def share_of_units(truth):
    """Units of which something holds or not."""

    def covers(n, rng, trial):
        low, high = interval_of_share((rng.random(n) < truth).astype(float), INTERVAL)
        return low <= truth <= high

    return covers


DEPTHS = np.arange(7)
ACCURACIES = 0.2 + 0.6 / (1 + np.exp(3.0 - DEPTHS))


def _right(n, rng, accuracies):
    """Documents of 3 to 25 tokens, and which tokens (depth, token) are right; documents differ."""
    documents = np.repeat(np.arange(n), rng.integers(3, 26, n))
    of_document, of_token = rng.normal(size=n)[documents], rng.normal(size=len(documents))
    of_depth = rng.normal(size=(len(accuracies), len(documents)))
    level = np.sqrt(0.3) * (of_document + of_token) + np.sqrt(0.4) * of_depth
    return documents, level < stats.norm.ppf(accuracies)[:, None]


def accuracy_over_documents(truth):
    """Tokens that a probe is right about, documents drawn again."""

    def covers(n, rng, trial):
        documents, right = _right(n, rng, np.array([truth]))
        found = accuracy(right, documents, RESAMPLES, INTERVAL, trial)
        return bool(found["accuracy_low"] <= truth <= found["accuracy_high"])

    return covers


def centre_of_gain(n, rng, trial):
    """The depth at which accuracy is gained on average, from the best accuracy so far."""

    def centre(accuracies):
        labelled = xr.DataArray(accuracies, dims=("sample", "depth"), coords={"depth": DEPTHS})
        return centres(labelled, xr.DataArray(0.1), 0)["gain_centre"].values

    documents, right = _right(n, rng, ACCURACIES)
    drawn = DrawnGroups.of([documents], RESAMPLES, generator(trial)).shares(right, documents)
    low, high = widened(centre(drawn), n, INTERVAL)
    return low <= centre(ACCURACIES[None])[0] <= high


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


def severed(n, rng, trial):
    """What is left of an effect where parts are severed, a ratio of means: half of it, prompt by prompt."""
    facts, values = _prompts_of_facts(lambda rng, n: rng.exponential(size=n), n, rng, 2)
    effects = values[:, None] + rng.normal(0, 0.3, (len(facts), 2))
    left = effects * rng.uniform(0.2, 0.8, len(facts))[:, None]
    options = {"min_gap": 0.1, "n_resamples": RESAMPLES, "interval": INTERVAL, "seed": trial}
    found = severed_share(_trace_of(effects, facts), _trace_of(left, facts), **options)
    found = found.squeeze().sel(site="subject", depth=0)
    return bool(found["share_low"] <= 0.5 <= found["share_high"])


def share_of_a_fall(n, rng, trial):
    """A ratio of means over prompts, facts drawn again: one fall as a share of a longer one."""
    facts, whole = _prompts_of_facts(lambda rng, n: rng.gamma(4, size=n), n, rng, 3)
    part = whole * rng.uniform(0, 0.6, len(facts))
    how = Bootstrap(RESAMPLES, INTERVAL, trial)

    def share(values, axis):
        part, whole = values.mean(axis)
        return part / whole

    low, high = how.ends(share, np.stack([part, whole]), clusters=facts)
    return low <= 0.3 <= high


def partial_rank_correlation(n, rng, trial):
    """Of x and y given z, each two with a correlation of a half."""
    shared = rng.normal(size=n)
    values = np.sqrt(0.5) * (shared + rng.normal(size=(3, n)))
    labelled = xr.DataArray(values, dims=("feature", "vocab"), coords={"feature": ["x", "y", "z"]})
    found = rank_correlations(labelled, resamples=RESAMPLES, interval=INTERVAL, seed=trial)
    at = found.sel(feature="x", other="y", given="z")
    ranks = 6 / np.pi * np.arcsin(0.25)
    return bool(at["rho_low"] <= ranks / (1 + ranks) <= at["rho_high"])


def bonett_and_wright(n, rng, trial):
    x, y = _correlated(rng, n)
    low, high = spearman_interval(np.array(spearman(x, y)), n, INTERVAL)
    return low <= 6 / np.pi * np.arcsin(0.25) <= high


def delong(n, rng, trial):
    """So many of a group, and twice as many of the rest."""
    flag = np.arange(3 * n) < n
    scores = (rng.normal(size=3 * n) + flag)[:, None]
    found, error = separation(scores, flag)[0], auc_error(scores, flag[None])[0, 0]
    return abs(found - stats.norm.cdf(0.5**0.5)) <= stats.norm.isf((1 - INTERVAL) / 2) * error


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


def distance_of_groups(n, rng, trial):
    """One number in five of a distribution three units above the others'."""
    values = np.where(rng.random(n) < 0.2, rng.normal(3, 0.6, n), rng.normal(0, 0.4, n))
    low, high = interval_of_distance(values, Bootstrap(FEW_RESAMPLES, INTERVAL, trial))
    return low <= 3 * np.sqrt(2 / (0.6**2 + 0.4**2)) <= high


def band_of_curves(n, rng, trial):
    """Two categories alike at every depth, n facts in all: 0 has to lie in the band at all of them."""
    facts = np.repeat(np.arange(n), rng.integers(1, 4, n))
    steps = rng.exponential(size=(n, 2, 6))[facts] + 0.5 * rng.normal(size=(len(facts), 2, 6))
    curves = steps.cumsum(-1)[:, None]
    averages = xr.Dataset(
        {
            "restoration_prompt": (("prompt", "noise", "site", "depth"), curves),
            "included": (("prompt", "noise"), np.ones((len(facts), 1), bool)),
            "prompt_category": ("prompt", np.where(facts < n // 2, "one", "other")),
            "prompt_fact": ("prompt", facts.astype(str)),
        },
        coords={"noise": ["3x"], "site": ["subject", "final"], "depth": np.arange(6)},
    )
    rows = curve_difference(averages, "one", "other", Resampling(20, 199, INTERVAL, trial))
    return bool(((rows["low"] <= 0) & (rows["high"] >= 0)).all())


INTERVALS = {
    **{f"mean over units, {kind}": mean_of_units(kind) for kind in VALUES},
    **{f"mean over prompts of facts, {kind}": mean_over_facts(kind) for kind in ("normal", "exponential")},
    **{f"restoration, {kind}": traces(kind) for kind in ("normal", "exponential")},
    **{f"share of units, 1 in {k}": share_of_units(1 / k) for k in (2, 5, 20)},
    "accuracy over documents, 3 in 10": accuracy_over_documents(0.3),
    "accuracy over documents, 9 in 10": accuracy_over_documents(0.9),
    "depth of a gain, over documents": centre_of_gain,
    "share of a severed effect": severed,
    "share of a fall, facts": share_of_a_fall,
    "median, exponential": _of_samples(np.median, lambda rng, n: (rng.exponential(size=n),), np.log(2)),
    "rank correlation": _of_samples(
        lambda x, y, axis: spearman(x, y, axis),
        _correlated,
        6 / np.pi * np.arcsin(0.25),
        paired=True,
        lost=0.05,
        bounded=True,
    ),
    "partial rank correlation": partial_rank_correlation,
    "rank correlation, Bonett and Wright": bonett_and_wright,
    "area under the curve, DeLong": delong,
    "ratio of medians": _of_samples(
        lambda x, y, axis: np.median(x, axis) / np.median(y, axis),
        lambda rng, n: (np.exp(rng.normal(0.5, 0.5, n)), np.exp(rng.normal(0, 0.5, n))),
        np.exp(0.5),
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
    "band of curves, all depths": band_of_curves,
    "distance of two groups": distance_of_groups,
}
"""What tells, of n units, a random generator and the trial's number, whether an interval covers the truth."""

LEAST = dict.fromkeys(INTERVALS, LEAST_UNITS) | {
    "partial rank correlation": LEAST_TOKENS,
    "distance of two groups": LEAST_OF_MIXTURE,
}
"""Units from which on they have intervals."""


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
