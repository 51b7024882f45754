"""Decoders side by side: how well each depth of each says the next token, and the model's own guess.

Belrose et al. 2023 ("Eliciting latent predictions from transformers with the tuned lens") compare
decoders in this way. Tokens of one prompt are not independent, so a prompt is the unit: its value is
the mean over its tokens, averages are over prompts, and intervals come from drawing again what prompts ask,
their facts.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import xarray as xr

from strata.names import ALL, CATEGORY, DEPTH, FACT, POSITION, PROMPT, TOKEN, K
from strata.stats.draws import check_resampling, interval_of_mean
from strata.stats.seeding import generator


def bits_of_target(lens: xr.Dataset) -> xr.DataArray:
    """Bits that each depth needs for the true next token, (depth, token); NaN where there is none."""
    return -lens["logprob_target"].astype(float) / np.log(2)


def kl_to_final(lens: xr.Dataset) -> xr.DataArray:
    """KL(final ‖ depth) in nats, (depth, token)."""
    return lens["kl_final"].astype(float)


def agreement(lens: xr.Dataset) -> xr.DataArray:
    """1 where a depth's top guess is the last depth's, else 0, (depth, token)."""
    guess = lens["top_id"].isel({K: 0})
    return (guess == guess.isel({DEPTH: -1}, drop=True)).astype(float)


def has_half_depths(lens: xr.Dataset) -> bool:
    """Whether a lens (depth, ...) was read out after the attention of each block too."""
    return bool((lens[DEPTH] % 1 != 0).any())


def at_whole_depths(lens: xr.Dataset) -> xr.Dataset:
    """A lens (depth, ...) without its half-depths, if it has any."""
    return lens.isel({DEPTH: slice(None, None, 2)}) if has_half_depths(lens) else lens


METRICS: dict[str, Callable[[xr.Dataset], xr.DataArray]] = {
    "bits_of_target": bits_of_target,
    "kl_final": kl_to_final,
    "agreement": agreement,
}


def prompt_means(values: xr.DataArray) -> pd.DataFrame:
    """Mean over a prompt's tokens, NaN left out: rows (category, fact, prompt), a column each depth.

    Rows are in order of appearance; NaN where none of a prompt's tokens has a value.

    Parameters
    ----------
    values : (depth, token), with coordinates ``prompt``, ``fact`` and ``category`` (token)
    """
    return _by_prompt(values).mean()


def mean_and_interval(
    means: pd.DataFrame, resamples: int = 1000, interval: float = 0.95, seed: int = 0
) -> tuple[pd.Series, pd.Series, pd.Series]:
    """The mean over prompts, and the ends of its interval from drawing again what they ask: a value a column.

    ``means`` is of `prompt_means`; the others are of `strata.stats.draws.interval_of_mean`.
    """
    facts = means.index.get_level_values(FACT)
    ends = interval_of_mean(means.to_numpy().T, resamples, interval, generator(seed), facts)
    return means.mean(), *(pd.Series(end, means.columns) for end in ends)


def compare(lenses: Mapping[str, xr.Dataset], resamples: int, interval: float, seed: int) -> pd.DataFrame:
    """Average every metric of every decoder by depth, in each category and in all prompts together.

    Intervals are of `strata.stats.draws.interval_of_mean`. A category's draws depend on ``seed`` and its
    name alone: decoders are compared on the same draws, and other categories' prompts change nothing.

    Parameters
    ----------
    lenses : mapping
        Name of a decoder to its lens (depth, token, k), all over the same tokens.
    resamples : int
        Bootstrap resamples.
    interval : float
        Coverage of the intervals, e.g. 0.95.
    seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        ``decoder``, ``category`` ("all" or a category's name), ``depth`` (blocks applied; halves are
        after attention, before the MLP), ``metric``, ``mean`` over prompts of means over tokens,
        ``low`` and ``high`` (NaN where prompts ask too few facts), ``n_prompts``, ``n_tokens``. Metrics:
        ``bits_of_target`` (bits; only tokens that have a true next token count), ``kl_final`` (nat),
        ``agreement`` (share of tokens whose top guess is the last depth's). ``norm``: the lenses' own.

    Raises
    ------
    ValueError
        If decoders were read out on different tokens or with different norms, a category is called
        "all", or ``resamples`` or ``interval`` is impossible.
    """
    check_resampling(resamples, interval)
    check_comparable(lenses)
    tables = []
    for decoder, lens in lenses.items():
        for metric, measure in METRICS.items():
            by_prompt = _by_prompt(measure(lens))
            # The number of tokens that count is the same at every depth.
            means, counts = by_prompt.mean(), by_prompt.count().iloc[:, 0]
            chosen = means.notna().all(axis="columns")
            means, counts = means[chosen], counts[chosen]
            groups = {ALL: means} | dict(iter(means.groupby(CATEGORY, sort=False)))
            for category, group in groups.items():
                rng = generator(seed, category)
                facts = group.index.get_level_values(FACT)
                low, high = interval_of_mean(group.to_numpy().T, resamples, interval, rng, facts)
                tables.append(
                    pd.DataFrame(
                        {
                            "decoder": decoder,
                            "norm": lens.attrs["norm"],
                            CATEGORY: category,
                            DEPTH: group.columns,
                            "metric": metric,
                            "mean": group.mean().to_numpy(),
                            "low": low,
                            "high": high,
                            "n_prompts": len(group),
                            "n_tokens": counts[group.index].sum(),
                        }
                    )
                )
    return pd.concat(tables, ignore_index=True)


def _by_prompt(values: xr.DataArray):
    table = pd.DataFrame(values.transpose(TOKEN, DEPTH).values, columns=values[DEPTH].values)
    keys = [pd.Series(values[name].values, name=name) for name in (CATEGORY, FACT, PROMPT)]
    return table.groupby(keys, sort=False)


def check_comparable(lenses: Mapping[str, xr.Dataset], *more: str) -> None:
    """Refuse lenses of different tokens or norms, or that differ in ``more`` coordinates.

    Raises
    ------
    ValueError
        If decoders are not comparable, or a category is called "all".
    """
    first, *others = lenses
    if ALL in lenses[first][CATEGORY].values:
        raise ValueError(f"a category cannot be called {ALL!r}: that is all prompts together")
    for other in others:
        norms = [lenses[name].attrs["norm"] for name in (first, other)]
        if norms[0] != norms[1]:
            raise ValueError(f"decoders {first} and {other} have different norms: {' and '.join(norms)}")
        whats = {PROMPT: "on different tokens", POSITION: "on different tokens"}
        whats |= {name: f"at different {name}s" for name in more}
        for name, what in whats.items():
            if not np.array_equal(lenses[first][name].values, lenses[other][name].values):
                raise ValueError(f"decoders {first} and {other} were read out {what}")
