"""Does a demanded last word show on the way there? A question of `strata.lens.questions`.

A text demands the word it must end with ("The last word must be apple."), and its pair demands another in
the same words. Behind the demand both texts are the same, so that the words can be compared at the same
places. In the mean over the texts of a pair, the demanded word less the other is also each word where it is
demanded less where it is not. That a word was said at all makes such a difference too; pairs whose texts both
name both words are free of that, and are also taken apart.
"""

import numpy as np
import pandas as pd
import xarray as xr

from strata.lens.by_decoder import Lenses, by_decoder, tokens_of
from strata.lens.names import DEMAND, FROM_END, PLACE, WORD, WORDS
from strata.names import ALL, DEPTH, PROMPT, TOKEN, TOKEN_ID
from strata.stats.bootstrap import Bootstrap
from strata.stats.groups import each

PLACES = ("way", "end")
ONE_WORD, BOTH_WORDS = "one word named", "both words named"


def endings(lenses: Lenses, prompts: pd.DataFrame, bootstrap: Bootstrap) -> xr.Dataset:
    """Probability and rank of the demanded last word by depth, against the pair's other word.

    (decoder, demand, place, word, depth): ``ending_logprob`` (nat) and ``ending_log_rank``, of the
    ``demanded`` word and the ``other``. Place: the mean over the ``way``, all tokens behind the demand but
    the text's last; or the ``end``, that last token, behind which the word is due. Demand: all pairs, or
    those whose texts name one word, or both. (decoder, demand, place, depth): ``ending_logprob_change`` and
    ``ending_log_rank_change``, the demanded word's less the other's. (decoder, from_end, depth):
    ``ending_from_end``, the first of these over all pairs, so many tokens before the last. Unit: pairs,
    their value the mean over both texts.
    """
    at, names_both = _ways(tokens_of(lenses), prompts)
    there = (at >= 0)[..., None, None]
    groups = {ALL: np.full(len(at), True), ONE_WORD: ~names_both, BOTH_WORDS: names_both}

    def by_pair(values: xr.DataArray) -> np.ndarray:
        """Means over the texts of a pair: (from the end, word, depth, pair), NaN before its way."""
        values = values.astype(float).transpose(TOKEN, WORD, DEPTH).values[at]
        return np.moveaxis(np.where(there, values, np.nan).mean(1), 0, -1)

    def by_demand(name: str, values: np.ndarray, dims: tuple[str, ...]) -> xr.Dataset:
        """Of ``values`` (from the end, ..., pair) the means over the way, and those at the end."""
        places = np.stack([np.nanmean(values[1:], axis=0), values[0]])
        return each(
            DEMAND, groups, lambda g: bootstrap.estimate(name, np.mean, places[..., groups[g]], dims=dims)
        )

    def ask_one(lens: xr.Dataset) -> xr.Dataset:
        rank = lens["rank_of_word"]
        measured = {"logprob": lens["logprob_word"], "log_rank": np.log10(rank.where(rank >= 0) + 1)}
        words = {name: by_pair(values) for name, values in measured.items()}
        changes = {name: values[:, 0] - values[:, 1] for name, values in words.items()}
        from_end = each(
            FROM_END,
            range(at.shape[-1]),
            lambda n: bootstrap.estimate("ending_from_end", np.mean, changes["logprob"][n], dims=(DEPTH,)),
        )
        parts = [by_demand(f"ending_{name}", words[name], (PLACE, WORD, DEPTH)) for name in measured]
        parts += [by_demand(f"ending_{name}_change", changes[name], (PLACE, DEPTH)) for name in measured]
        return xr.merge([*parts, from_end], join="exact")

    return by_decoder(lenses, ask_one).assign_coords({PLACE: list(PLACES), WORD: list(WORDS)})


def _ways(tokens: pd.DataFrame, prompts: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Where the ways of every pair are, and whether its texts name both words.

    Returns
    -------
    at : int (pair, text, from the end), the way's tokens from a text's last one backwards, -1 before the way
    names_both : bool (pair)
    """
    rows = prompts[prompts["accepted"] & (prompts["demands"] != "")].set_index("id")
    first = rows[rows.index < rows["pair"]]
    at = np.full((len(first), 2, rows["way_n_tokens"].max()), -1)
    names_both = np.empty(len(first), dtype=bool)
    for n, (name, pair) in enumerate(first["pair"].items()):
        for text, of in enumerate((name, pair)):
            own, way = tokens.index[tokens[PROMPT] == of], rows.loc[of, "way_n_tokens"]
            at[n, text, :way] = own[::-1][:way]
        before = tokens.loc[tokens[PROMPT] == name, TOKEN_ID].iloc[: -first.loc[name, "way_n_tokens"]]
        names_both[n] = rows.loc[pair, "demanded_id"] in before.values
    return at, names_both
