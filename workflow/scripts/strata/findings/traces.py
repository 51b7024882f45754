"""Causal traces by category and the final token's attention: statistics of what Kinniment (2022) found.

Depths are given as shares of the number of blocks L, so that models can be compared.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import isnan

import pandas as pd
import xarray as xr

from strata.findings.estimates import UNDEFINED, Estimate, read, read_mean
from strata.names import ALL, CATEGORY, DEPTH, LAYER, NOISE


def transition(averages: xr.Dataset, noise: str, category: str) -> Estimate:
    """Mean transition depth of a category, in depths; unit: prompts.

    Parameters
    ----------
    averages : of trace/by_category.nc
    """
    names = {"transition_mean": "depth", "transition_low": "depth_low", "transition_high": "depth_high"}
    named = averages[[*names, "n_transition"]].rename(names | {"n_transition": "depth_n"})
    found = read(named, "depth", **{CATEGORY: category, NOISE: noise})
    return Estimate(missing="no prompt crosses") if found.missing == UNDEFINED else found


def later_than(order: pd.DataFrame, averages: xr.Dataset, noise: str, earlier: str, later: str) -> Estimate:
    """Transition depth of one category less that of another, mean difference in shares of L.

    Parameters
    ----------
    order : of trace/order.tsv
    averages : of trace/by_category.nc
    """
    rows = order[order["statistic"] == "difference of means"]
    whole = averages.sizes[DEPTH]
    found = _row(rows, "pair", noise, f"{earlier} to {later}")
    if not found.missing:
        return found.of(whole)
    turned = _row(rows, "pair", noise, f"{later} to {earlier}")
    return found if turned.missing else turned.reversed().of(whole)


def concordance(order: pd.DataFrame, noise: str, categories: Sequence[str], test: str = "order") -> Estimate:
    """Share of pairs of prompts of different categories that cross in the order of ``categories``.

    0.5 is no order; p is of a permutation test.

    Parameters
    ----------
    test : ``order``, or ``order, after a prefix``
    """
    return _row(order[order["statistic"] == "concordance"], test, noise, " ≤ ".join(categories))


def with_confounders(
    regression: pd.DataFrame, averages: xr.Dataset, noise: str, category: str, reference: str
) -> Estimate:
    """How much later a category crosses than the reference, in shares of L, the confounders held constant.

    Parameters
    ----------
    regression : of trace/regression.tsv
    averages : of trace/by_category.nc
    """
    known = regression[(regression["test"] == "regression") & (regression["noise"] == noise)]
    references = set(known.loc[known["statistic"] == "reference", "group"])
    if references != {reference}:
        return Estimate(missing=f"not compared with {reference} at noise {noise}")
    rows = known[known["statistic"] == "coefficient"]
    return _row(rows, "regression", noise, category).of(averages.sizes[DEPTH])


def with_attention_peak(attention: xr.Dataset, noise: str) -> Estimate:
    """Rank correlation of the layer of most attention on the subject with the transition depth.

    Parameters
    ----------
    attention : of attention.nc
    """
    where = {"heads": "mean", CATEGORY: ALL, NOISE: noise}
    found = read(attention, "rho", **where)
    if found.missing:
        return found
    return replace(found, p=float(attention["rho_p"].sel(where)))


def onset(attention: xr.Dataset) -> Estimate:
    """First layer with half of the maximal attention on the first position, as a share of the last layer."""
    last = attention.sizes[LAYER] - 1
    return read(attention, "onset", heads="mean", **{CATEGORY: ALL}).of(last)


def release(attention: xr.Dataset) -> Estimate:
    """Last layer with half of the maximal attention on the first position, as a share of the last layer."""
    last = attention.sizes[LAYER] - 1
    return read(attention, "release", heads="mean", **{CATEGORY: ALL}).of(last)


def first_position_far(text: xr.Dataset, beyond: int) -> Estimate:
    """Attention on the first position that positions from ``beyond`` on pay, mean over them and all layers.

    Unit: samples. The ends are the means of those of layers and positions: wide.

    Parameters
    ----------
    text : of attention_text.nc
    """
    far = text["position"].values >= beyond
    if not far.any():
        return Estimate(missing=f"no position {beyond} within the model's context or its text")
    return read_mean(text.isel(position=far), "first_of_layer", int(text["first_of_layer_n"]))


def severed_share(
    severed: xr.Dataset, noise: str, category: str, share: float, site: str = "subject"
) -> Estimate:
    """Share of the effect of a state at a depth that remains with later MLPs there severed.

    Parameters
    ----------
    severed : of trace/severed_mlp.nc
    share : of the number of blocks, rounded down, the depth
    """
    depth = int(share * severed.sizes[DEPTH])
    where = {CATEGORY: category, NOISE: noise, "site": site, DEPTH: depth}
    n = 0
    if category in severed[CATEGORY].values and noise in severed[NOISE].values:
        n = int(severed["n_prompts"].sel({CATEGORY: category, NOISE: noise}))
    return read(severed, "share", n=n, **where)


def _row(table: pd.DataFrame, test: str, noise: str, group: str) -> Estimate:
    found = table[(table["test"] == test) & (table["noise"] == noise) & (table["group"] == group)]
    if found.empty:
        return Estimate(missing=f"no test of {group} at noise {noise}")
    row = found.iloc[0]
    if isnan(row["value"]):
        return Estimate(missing=UNDEFINED)
    return Estimate(*(float(row[key]) for key in ("value", "low", "high")), int(row["n"]), float(row["p"]))
