"""Where in depth the guess arrives: questions of `strata.lens.questions`."""

import numpy as np
import pandas as pd
import xarray as xr

from strata.lens.by_decoder import COPYING, REPETITION, Lenses, by_decoder, tokens_of
from strata.lens.comparison import agreement, prompt_means
from strata.lens.names import REPEAT
from strata.names import CATEGORY, DEPTH, FACT, LAYER, PROMPT, TARGET_ID, TOKEN, TOKEN_ID
from strata.stats.bootstrap import Bootstrap
from strata.stats.groups import cluster_totals, masks_by_category, named
from strata.text.prompts import PASSAGES

TOP = 10
"""A target has arrived when it is among so many guesses."""


def first_block(lenses: Lenses, bootstrap: Bootstrap) -> xr.Dataset:
    """How discontinuous is the first block? How the way from depth 0 to L is split over the blocks.

    ``kl_final_share`` (decoder, category, layer): what block l takes off KL(final ‖ ·), as a share of the
    whole fall, (KL_l - KL_(l+1)) / (KL_0 - KL_L) with means over prompts. ``kl_input_share``: what it
    adds to KL(input ‖ ·), as a share of its value at depth L; it may overshoot and come back. The shares
    of all blocks sum to 1; NaN where both ends are equal. Unit: prompts.
    """

    def shares(kl: np.ndarray, axis: int) -> np.ndarray:
        mean = kl.mean(axis)  # (depth, ...)
        way = mean[-1] - mean[0]
        return np.diff(mean, axis=0) / np.where(way == 0, np.nan, way)

    def ask_one(lens: xr.Dataset) -> xr.Dataset:
        parts = []
        for name in ("kl_final", "kl_input"):
            means = prompt_means(lens[name].astype(float))
            groups = masks_by_category(means.index.get_level_values(CATEGORY))
            values, facts = means.to_numpy().T, means.index.get_level_values(FACT)
            parts.append(bootstrap.by_category(f"{name}_share", shares, values, groups, (LAYER,), facts))
        return xr.merge(parts, join="exact")

    return by_decoder(lenses, ask_one)


def target_depth(lenses: Lenses, prompts: pd.DataFrame, bootstrap: Bootstrap) -> xr.Dataset:
    """When does the answer arrive? Depths of the target at the last token of accepted prompts.

    (decoder, category): ``target_depth``, mean of the depth from which on the target is among the ten top
    guesses; ``target_first_depth``, mean of the depth at which it first is; ``target_undefined``, the
    number of prompts in which it is not at the end, of ``target_undefined_n``; ``target_depth_change``,
    the mean target_depth minus copying's (NaN for copying itself and where there is none): above 0 where
    copied targets arrive earlier. Unit: prompts.
    """
    tokens = tokens_of(lenses)
    accepted = prompts.loc[prompts["accepted"].astype(bool), "id"]
    last = ~tokens[PROMPT].duplicated(keep="last")
    ends = np.flatnonzero(last & (tokens[TARGET_ID] >= 0) & tokens[PROMPT].isin(accepted))
    category, facts = tokens[CATEGORY].to_numpy()[ends], tokens[FACT].to_numpy()[ends]
    groups = masks_by_category(category, tokens[CATEGORY].unique())

    def difference(of_facts: np.ndarray, of_others: np.ndarray, axis: int) -> np.ndarray:
        mean, other_mean = (np.divide(*totals.sum(axis)) for totals in (of_facts, of_others))
        return mean - other_mean

    def ask_one(lens: xr.Dataset) -> xr.Dataset:
        among_top = _target_among_top(lens.isel({TOKEN: ends}))
        settled, first = settled_depth(among_top).values, first_depth(among_top).values
        there, copied = ~np.isnan(settled), category == COPYING

        def change(name: str) -> xr.Dataset:
            chosen = [side & there for side in ((category == name) & ~copied, copied)]
            sides = [cluster_totals(settled[side], facts[side]) for side in chosen]
            if not all(side.any() for side in chosen):
                sides = [np.empty((2, 0))] * 2
            found = bootstrap.estimate("target_depth_change", difference, *sides)
            return found.assign(target_depth_change_n=min(side.sum() for side in chosen))

        changes = [change(name) for name in groups]
        undefined = {
            "target_undefined": [np.isnan(settled[group]).sum() for group in groups.values()],
            "target_undefined_n": [group.sum() for group in groups.values()],
        }
        return xr.merge(
            [
                bootstrap.by_category("target_depth", np.mean, settled, groups, clusters=facts),
                bootstrap.by_category("target_first_depth", np.mean, first, groups, clusters=facts),
                xr.concat(changes, dim=named(CATEGORY, groups), join="exact"),
                xr.Dataset({name: (CATEGORY, values) for name, values in undefined.items()}),
            ]
        )

    return by_decoder(lenses, ask_one)


def repetition(lenses: Lenses, bootstrap: Bootstrap) -> xr.Dataset:
    """Does what was said often arrive earlier? Depth of the true next token by number of repeats.

    Over the tokens of repetition prompts, and of passages more than half of which repeats. A token's
    repeat number is how often its pair (token, next token) has occurred before in the prompt: the pair
    and not the next token alone, since only a pair seen before tells what follows. Where a cycle of words
    first begins again, the next word has been said, but not after this one.

    (decoder, repeat): ``repeat_depth``, the depth from which on the next token is among the ten top
    guesses, mean over those tokens of a prompt for which there is one, then over prompts;
    ``repeat_share``, the share of tokens for which there is one. High numbers are of long prompts
    only, so ``repeat_change`` (decoder) compares within prompts: ``repeat_depth`` at a prompt's last
    repeat minus that at its first, mean over prompts with two repeats or more. Unit: prompts.
    """
    tokens = tokens_of(lenses)
    tokens = tokens[tokens[TARGET_ID] >= 0]
    repeat = tokens.groupby([PROMPT, TOKEN_ID, TARGET_ID]).cumcount()
    mostly = (repeat > 0).groupby(tokens[PROMPT]).transform("mean") > 0.5
    chosen = (tokens[CATEGORY] == REPETITION) | ((tokens[CATEGORY] == PASSAGES) & mostly)
    tokens, repeat = tokens[chosen], repeat[chosen]
    numbers = np.arange(repeat.max() + 1 if len(repeat) else 0)
    facts = tokens.groupby(PROMPT)[FACT].first().to_numpy()  # by prompt, as all that is grouped below

    def ask_one(lens: xr.Dataset) -> xr.Dataset:
        settled = settled_depth(_target_among_top(lens.isel({TOKEN: tokens.index.to_numpy()})))
        each = pd.Series(settled.values, tokens.index).groupby([tokens[PROMPT], repeat])
        depth, share = (
            table.unstack().reindex(columns=range(max(3, len(numbers)))).to_numpy().T  # (repeat, prompt)
            for table in (each.mean(), each.count() / each.size())
        )
        last = pd.DataFrame(depth[2:]).ffill().to_numpy()[-1]
        answers = [bootstrap.estimate("repeat_change", np.mean, last - depth[1], clusters=facts)]
        for name, values in (("repeat_depth", depth), ("repeat_share", share)):
            curve = [bootstrap.estimate(name, np.mean, values[k], clusters=facts) for k in numbers]
            answers += [xr.concat(curve, dim=named(REPEAT, numbers), join="exact")] if curve else []
        return xr.merge(answers)

    return by_decoder(lenses, ask_one)


def prediction_depth(lenses: Lenses, bootstrap: Bootstrap) -> xr.Dataset:
    """From where on is the top guess the final one?

    The word is Baldock et al.'s (2021, "Deep learning through the lens of example difficulty"): the
    depth from which on the top guess is that of depth L. (decoder, category): ``prediction_depth``, mean
    over all tokens of a prompt, then over prompts; ``prediction_depth_last``, at last tokens alone.
    Always defined, L at the latest. Unit: prompts.
    """
    tokens = tokens_of(lenses)

    def ask_one(lens: xr.Dataset) -> xr.Dataset:
        settled = pd.Series(settled_depth(agreement(lens) == 1).values)
        each = settled.groupby([tokens[CATEGORY], tokens[FACT], tokens[PROMPT]], sort=False)
        parts = []
        for name, values in (("prediction_depth", each.mean()), ("prediction_depth_last", each.last())):
            category, facts = (values.index.get_level_values(level) for level in (CATEGORY, FACT))
            groups = masks_by_category(category)
            parts.append(bootstrap.by_category(name, np.mean, values.to_numpy(), groups, clusters=facts))
        return xr.merge(parts, join="exact")

    return by_decoder(lenses, ask_one)


def first_depth(holds: xr.DataArray) -> xr.DataArray:
    """The first depth at which ``holds`` (depth, ...) is true; NaN where it never is."""
    where = holds.argmax(DEPTH)
    return holds[DEPTH].isel({DEPTH: where}).drop_vars(DEPTH).where(holds.any(DEPTH))


def settled_depth(holds: xr.DataArray) -> xr.DataArray:
    """The depth from which on ``holds`` (depth, ...) is true; NaN where it is false at the end."""
    backwards = {DEPTH: slice(None, None, -1)}
    to_the_end = holds.isel(backwards).astype(int).cumprod(DEPTH).isel(backwards) == 1
    return first_depth(to_the_end.assign_coords({DEPTH: holds[DEPTH]}))


def _target_among_top(lens: xr.Dataset) -> xr.DataArray:
    """Whether the target is among the top guesses, (depth, token), of tokens that have one."""
    return lens["rank_of_target"] < TOP
