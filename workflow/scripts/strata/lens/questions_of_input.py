"""What becomes of the input in depth: questions of `strata.lens.questions`."""

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from strata.lens.by_decoder import COPYING, Lenses, by_decoder, tokens_of
from strata.lens.names import COMMA, PASSAGE
from strata.names import BAND, CATEGORY, DEPTH, FACT, POSITION, PROMPT, TOKEN, TOKEN_ID, TOKEN_STR
from strata.stats.bootstrap import Bootstrap
from strata.stats.groups import named
from strata.stats.spearman import spearman
from strata.text.prompts import PASSAGES

COMMAS = (",", "Ġ,", "▁,", ",</w>")
"""How vocabularies spell a comma (byte-level with and without a space, sentencepiece, marked ends)."""

N_COMMAS = 3
N_BANDS = 5
LIKE = 2.0
"""Words of like frequency: one is met at most so many times as often as the other."""


def input_kept(lenses: Lenses, counts: pd.Series, bootstrap: Bootstrap) -> xr.Dataset:
    """Is the input kept, and are rarer tokens kept better?

    A token type's value is its mean log10(rank of the input + 1) over all its occurrences; types are the
    units. ``frequency_rho`` (decoder, depth): Spearman's correlation of that with the type's count;
    positive where rarer tokens are kept better, NaN where all are kept alike. It is no measure of the
    input alone: a readout that favours frequent tokens whatever the input lowers it. ``band_log_rank``
    (decoder, band, depth): its median over the types of a band; a fifth of the types is in each, but
    types of one count are never separated. Bands are named by their counts.

    Raises
    ------
    ValueError
        If a token is not in ``counts``.
    """
    types = np.unique(tokens_of(lenses)[TOKEN_ID])
    frequency = _counts_of(types, counts)
    fifth = np.ceil(stats.rankdata(frequency) / len(types) * N_BANDS)
    bands = {}
    for chosen in (fifth == f for f in np.unique(fifth)):
        least, most = frequency[chosen].min(), frequency[chosen].max()
        bands[f"{least:,} to {most:,}" if least < most else f"{most:,}"] = chosen

    def ask_one(lens: xr.Dataset) -> xr.Dataset:
        by_token = pd.DataFrame(_log_rank_of_input(lens).T)
        by_type = by_token.groupby(lens[TOKEN_ID].values).mean().to_numpy().T  # (depth, type)
        medians = [
            bootstrap.estimate("band_log_rank", np.median, by_type[:, chosen], dims=(DEPTH,))
            for chosen in bands.values()
        ]
        return xr.merge(
            [
                bootstrap.by_depth("frequency_rho", spearman, by_type, frequency, bounded=True),
                xr.concat(medians, dim=named(BAND, bands), join="exact"),
            ]
        )

    return by_decoder(lenses, ask_one)


def commas(lenses: Lenses, bootstrap: Bootstrap) -> xr.Dataset:
    """The first three commas of every passage that has as many, side by side.

    ``comma_rank`` (decoder, passage, comma, depth): rank of the comma where it is the input;
    ``comma_position`` (passage, comma). ``comma_change`` (decoder, depth): log10(rank + 1) of the third
    minus that of the first, mean over passages. Unit: passages.
    """
    tokens = tokens_of(lenses)
    found = tokens[(tokens[CATEGORY] == PASSAGES) & tokens[TOKEN_STR].isin(COMMAS)]
    enough = found.groupby(PROMPT)[TOKEN_ID].transform("size") >= N_COMMAS
    chosen = found[enough].groupby(PROMPT).head(N_COMMAS)
    at = chosen.index.to_numpy().reshape(-1, N_COMMAS)
    dims = (PASSAGE, COMMA, DEPTH)

    def ask_one(lens: xr.Dataset) -> xr.Dataset:
        ranks = lens["rank_of_input"].transpose(TOKEN, DEPTH).values[at]
        log_rank = np.log10(ranks + 1.0)
        change = (log_rank[:, -1] - log_rank[:, 0]).T
        return bootstrap.by_depth("comma_change", np.mean, change).assign(comma_rank=(dims, ranks))

    return by_decoder(lenses, ask_one).assign_coords(
        {
            PASSAGE: np.array(chosen[PROMPT].unique(), dtype=str),
            COMMA: np.arange(1, N_COMMAS + 1),
            "comma_position": (dims[:2], chosen[POSITION].to_numpy().reshape(at.shape)),
        }
    )


def first_instance(
    lenses: Lenses, prompts: pd.DataFrame, counts: pd.Series, bootstrap: Bootstrap
) -> xr.Dataset:
    """Is a word kept because it is to be copied? Its first instance against other words as frequent.

    In the accepted prompts of copying: the first token of the subject, where the subject first stands,
    against tokens of other words in those prompts, each where it first stands in its prompt (at position
    0 only if the word itself stands there). Of these the ones nearest in log(count + 1) are the word's
    controls, all of them where several are equally near, none if one is met more than twice as often as
    the other.

    ``copied_change`` (decoder, depth): log10(rank of the input + 1) of the word minus the mean of its
    controls, mean over the words that have some; negative where the word to be copied is kept better.
    Unit: prompts; controls stay as they are when prompts are drawn again. (decoder): ``copied_words``, how
    many of the ``copied_words_n`` words have controls, and ``copied_controls``, how many tokens serve.

    Raises
    ------
    ValueError
        If a token is not in ``counts``.
    """
    tokens = tokens_of(lenses)
    words, others = _words_to_copy(tokens, prompts)
    controls = _controls(tokens, words, others, np.log10(_counts_of(tokens[TOKEN_ID], counts) + 1))
    facts = tokens.loc[list(controls), FACT].to_numpy()

    def ask_one(lens: xr.Dataset) -> xr.Dataset:
        log_rank = _log_rank_of_input(lens)
        change = log_rank[:, list(controls)]
        for column, control in enumerate(controls.values()):
            change[:, column] -= log_rank[:, control].mean(1)
        return bootstrap.by_depth("copied_change", np.mean, change, clusters=facts).assign(
            copied_words=len(controls),
            copied_words_n=len(words),
            copied_controls=len({token for control in controls.values() for token in control}),
        )

    return by_decoder(lenses, ask_one)


def _log_rank_of_input(lens: xr.Dataset) -> np.ndarray:
    """log10(rank of the input + 1), (depth, token)."""
    return np.log10(lens["rank_of_input"].transpose(DEPTH, TOKEN).values + 1.0)


def _counts_of(ids: np.ndarray, counts: pd.Series) -> np.ndarray:
    missing = np.setdiff1d(ids, counts.index)
    if len(missing):
        raise ValueError(f"no counts of {len(missing)} tokens of the prompts, id {missing[0]} among them")
    return counts.loc[ids].to_numpy()


def _words_to_copy(tokens: pd.DataFrame, prompts: pd.DataFrame) -> tuple[list[int], list[int]]:
    """Tokens that begin a word to be copied, and those of other words, each where it first stands."""
    chosen = prompts[(prompts[CATEGORY] == COPYING) & prompts["accepted"].astype(bool)]
    words, others = [], []
    for row in chosen.itertuples():
        own = tokens[tokens[PROMPT] == row.id]
        ids = own[TOKEN_ID].tolist()
        among = own[POSITION].between(row.subject_start, row.subject_start + row.subject_n_tokens - 1)
        subject = own.loc[among, TOKEN_ID].tolist()
        start = next(i for i in range(len(ids)) if ids[i : i + len(subject)] == subject)
        words.append(own.index[start])
        others += own.index[~own[TOKEN_ID].isin(subject) & ~own[TOKEN_ID].duplicated()].tolist()
    return words, others


def _controls(
    tokens: pd.DataFrame, words: list[int], others: list[int], log_frequency: np.ndarray
) -> dict[int, list[int]]:
    """For each word that has any, the others nearest to it in frequency: token to tokens."""
    others = np.array(others, dtype=int)
    ids, at_start = tokens[TOKEN_ID].to_numpy(), tokens[POSITION].to_numpy() == 0
    controls = {}
    for word in words:
        like = others[(ids[others] != ids[word]) & (at_start[others] == at_start[word])]
        distance = np.abs(log_frequency[like] - log_frequency[word])
        nearest = like[(distance <= np.log10(LIKE)) & np.isclose(distance, distance.min(initial=np.inf))]
        if len(nearest):
            controls[word] = nearest.tolist()
    return controls
