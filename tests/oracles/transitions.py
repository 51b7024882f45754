"""Tables of transition depths with a known answer, and slow loops over pairs."""

import numpy as np
import pandas as pd
import xarray as xr

from strata.trace.confounders import CONTINUOUS, INDICATORS
from strata.trace.testing import Resampling

ORDER = ("non_english", "plain_english", "semantic")
HOW = Resampling(n_resamples=200, n_permutations=199, interval=0.9, seed=3)


def make_table(depths, levels=("3x",), seed=0):
    """A table of `transitions`: ``depths`` of each category, each a fact; confounders at random."""
    rng = np.random.default_rng(seed)
    rows = []
    for category, values in depths.items():
        for i, depth in enumerate(values):
            confounders = dict(zip(CONTINUOUS, rng.normal(size=len(CONTINUOUS)), strict=True))
            confounders |= dict.fromkeys(INDICATORS, float(i % 4 == 0))
            for noise in levels:
                row = {"prompt": f"{category}-{i}", "category": category, "noise": noise}
                row |= {"fact": f"{category}-{i}", "place": np.inf if np.isnan(depth) else depth}
                row |= {"transition_depth": depth, "transition_reason": ""}
                rows.append(row | confounders)
    table = pd.DataFrame(rows)
    table.loc[table["transition_depth"].isna(), "transition_reason"] = "never overtakes"
    return table


def make_averages(depths, n_depths=6, seed=0):
    """Averages with ``depths`` (NaN: never overtakes), curves at random, at two noise levels."""
    rng = np.random.default_rng(seed)
    category = np.array([c for c, values in depths.items() for _ in values])
    values = np.concatenate(list(depths.values()))
    both = np.stack([values, values], axis=1)
    dims = ("category", "noise")
    shape = (len(depths), 2)
    return xr.Dataset(
        {
            "transition_depth": (("prompt", "noise"), both),
            "transition_reason": (("prompt", "noise"), np.where(np.isnan(both), "never overtakes", "")),
            "included": (("prompt", "noise"), np.full(both.shape, True)),
            "restoration_prompt": (
                ("prompt", "noise", "site", "depth"),
                rng.normal(0, 0.1, (len(values), 2, 2, n_depths)),
            ),
            "transition_mean": (dims, rng.uniform(size=shape)),
            "transition_low": (dims, rng.uniform(size=shape)),
            "transition_high": (dims, rng.uniform(size=shape)),
            "n_transition": (dims, rng.integers(5, 9, shape)),
        },
        coords={
            "prompt": [f"p{i}" for i in range(len(values))],
            "prompt_category": ("prompt", category),
            "prompt_fact": ("prompt", [f"f{i}" for i in range(len(values))]),
            "category": list(depths),
            "noise": ["0.5", "3x"],
            "site": ["subject", "final"],
            "depth": np.arange(n_depths),
        },
    )


def one(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1, table
    return table.iloc[0]


def normals(*means, n=30, sd=0.5, seed=0):
    rng = np.random.default_rng(seed)
    return {c: rng.normal(mean, sd, n) for c, mean in zip(ORDER, means, strict=True)}


def planted(seed, n=150, noise=0.3):
    """Depth = 9 - 0.8 non_english - 0.4 plain_english + 0.25 distance - 0.5 several tokens + noise."""
    rng = np.random.default_rng(seed)
    table = make_table({c: np.zeros(n // 3) for c in ORDER}, seed=seed)
    # A confounder: distances grow from category to category.
    table["distance"] += table["category"].map(dict(zip(ORDER, (0, 1, 2), strict=True)))
    table["transition_depth"] = (
        9.0
        - 0.8 * (table["category"] == "non_english")
        - 0.4 * (table["category"] == "plain_english")
        + 0.25 * table["distance"]
        - 0.5 * table["several_tokens"]
        + rng.normal(0, noise, len(table)) * (1 + (table["distance"] > 1))
    )
    return table.assign(place=table["transition_depth"])


def in_pairs(table):
    """The same with facts of two prompts each."""
    number = table.groupby(["category", "noise"]).cumcount() // 2
    return table.assign(fact=table["category"] + "-" + number.astype(str))


def slow_superiority(first, second):
    wins = [(b > a) + 0.5 * (b == a) for a in first for b in second]
    return sum(wins), len(wins)
