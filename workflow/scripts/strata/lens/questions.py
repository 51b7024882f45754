"""What the logit lens's author and readers asked (nostalgebraist 2020), answered with numbers.

Every question is put to every decoder, at whole depths: between two of them a readout may lack the
block's MLP, and "how many blocks does it take" has a whole answer. Unless said otherwise a prompt is the
unit, its value the mean over its tokens, and an interval comes from drawing prompts anew. A depth that
does not exist (a target that never arrives) is left out of a mean and counted.

Each answer is a Dataset in which ``x`` has its interval's ends in ``x_low`` and ``x_high`` (NaN for fewer
than two units) and the number of its units in ``x_n``. Dims: ``decoder``; ``category``, all prompts
together ("all") and each category; ``depth``, 0 to L; and those named. Ranks count from 0, and their
logarithm is log10(rank + 1). Where a value by depth, ``x``, is also given as ``x_overall``, that is of the
mean over depths 1 to L: at depth 0 the input stands unchanged.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from strata.lens.comparison import agreement, check_comparable, prompt_means
from strata.lens.names import COMMA, DECODER, PASSAGE, REPEAT
from strata.names import (
    BAND,
    CATEGORY,
    DEPTH,
    LAYER,
    POSITION,
    PROMPT,
    TARGET_ID,
    TOKEN,
    TOKEN_ID,
    TOKEN_STR,
)
from strata.stats.bootstrap import Bootstrap
from strata.stats.groups import masks_by_category, named
from strata.stats.ranks import spearman
from strata.text.prompts import PASSAGES

COPYING, REPETITION = "copying", "repetition"
"""Categories: prompts that ask for a word said before, and those of a few words over and over."""

TOP = 10
"""A target has arrived when it is among so many guesses."""

COMMAS = (",", "Ġ,", "▁,", ",</w>")
"""How vocabularies spell a comma (byte-level with and without a space, sentencepiece, marked ends)."""

N_COMMAS = 3
N_BANDS = 5
LIKE = 2.0
"""Words of like frequency: one is met at most so many times as often as the other."""

Lenses = Mapping[str, xr.Dataset]


def ask(
    lenses: Lenses,
    prompts: pd.DataFrame,
    counts: pd.Series | None,
    *,
    resamples: int,
    interval: float,
    seed: int,
) -> xr.Dataset:
    """Put every question to every decoder.

    Parameters
    ----------
    lenses : mapping
        Name of a decoder to its lens (depth, token, k), all over the same tokens.
    prompts : DataFrame
        As `strata.io.read_prompts` reads it.
    counts : Series or None
        How often each token of the vocabulary was met in training, by token id; None where nobody
        knows: what is asked of frequencies is then not answered.
    resamples, interval, seed
        See `Bootstrap`.

    Returns
    -------
    Dataset
        What `first_block`, `input_kept`, `commas`, `first_instance`, `target_depth`, `repetition` and
        `prediction_depth` return. Attributes: ``interval`` and the lenses' ``norm``.

    Raises
    ------
    ValueError
        If decoders were read out on different tokens, at different depths or with different norms, a
        token is not in ``counts``, a category is called "all", or an argument is impossible.
    """
    bootstrap = Bootstrap(resamples, interval, seed)
    check_comparable(lenses, DEPTH)
    parts = [
        first_block(lenses, bootstrap),
        commas(lenses, bootstrap),
        target_depth(lenses, prompts, bootstrap),
        repetition(lenses, bootstrap),
        prediction_depth(lenses, bootstrap),
    ]
    if counts is not None:
        parts += [
            input_kept(lenses, counts, bootstrap),
            first_instance(lenses, prompts, counts, bootstrap),
        ]
    norm = next(iter(lenses.values())).attrs["norm"]
    return xr.merge(parts, join="exact", compat="no_conflicts").assign_attrs(norm=norm, interval=interval)


# The questions ------------------------------------------------------------------------------


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
            values = means.to_numpy().T
            parts.append(bootstrap.by_category(f"{name}_share", shares, values, groups, dims=(LAYER,)))
        return xr.merge(parts, join="exact")

    return _by_decoder(lenses, ask_one)


def input_kept(lenses: Lenses, counts: pd.Series, bootstrap: Bootstrap) -> xr.Dataset:
    """Is the input kept, and are rarer tokens kept better?

    A token type's value is its mean log10(rank of the input + 1) over all its occurrences; types are the
    units. ``frequency_rho`` (decoder, depth): Spearman's correlation of that with the type's count;
    positive where rarer tokens are kept better, NaN where all are kept alike. It is no measure of the
    input alone: a readout that favours frequent tokens whatever the input lowers it. ``band_log_rank``
    (decoder, band, depth): its median over the types of a band; a fifth of the types is in each, but
    types of one count are never parted. Bands are named by their counts.

    Raises
    ------
    ValueError
        If a token is not in ``counts``.
    """
    types = np.unique(_tokens(lenses)[TOKEN_ID])
    frequency = _counts_of(types, counts)
    fifth = np.ceil(stats.rankdata(frequency) / len(types) * N_BANDS)
    bands = {}
    for chosen in (fifth == f for f in np.unique(fifth)):
        bands[f"{frequency[chosen].min():,} to {frequency[chosen].max():,}"] = chosen

    def ask_one(lens: xr.Dataset) -> xr.Dataset:
        by_token = pd.DataFrame(_log_rank_of_input(lens).T)
        by_type = by_token.groupby(lens[TOKEN_ID].values).mean().to_numpy().T  # (depth, type)
        medians = [
            bootstrap.estimate("band_log_rank", np.median, by_type[:, chosen], dims=(DEPTH,))
            for chosen in bands.values()
        ]
        return xr.merge(
            [
                bootstrap.by_depth("frequency_rho", spearman, by_type, frequency),
                xr.concat(medians, dim=named(BAND, bands), join="exact"),
            ]
        )

    return _by_decoder(lenses, ask_one)


def commas(lenses: Lenses, bootstrap: Bootstrap) -> xr.Dataset:
    """The first three commas of every passage that has as many, side by side.

    ``comma_rank`` (decoder, passage, comma, depth): rank of the comma where it is the input;
    ``comma_position`` (passage, comma). ``comma_change`` (decoder, depth): log10(rank + 1) of the third
    minus that of the first, mean over passages. Unit: passages.
    """
    tokens = _tokens(lenses)
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

    return _by_decoder(lenses, ask_one).assign_coords(
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
    Unit: prompts; controls stay as they are when prompts are drawn anew. (decoder): ``copied_words``, how
    many of the ``copied_words_n`` words have controls, and ``copied_controls``, how many tokens serve.

    Raises
    ------
    ValueError
        If a token is not in ``counts``.
    """
    tokens = _tokens(lenses)
    words, others = _words_to_copy(tokens, prompts)
    controls = _controls(tokens, words, others, np.log10(_counts_of(tokens[TOKEN_ID], counts) + 1))

    def ask_one(lens: xr.Dataset) -> xr.Dataset:
        log_rank = _log_rank_of_input(lens)
        change = log_rank[:, list(controls)]
        for column, control in enumerate(controls.values()):
            change[:, column] -= log_rank[:, control].mean(1)
        return bootstrap.by_depth("copied_change", np.mean, change).assign(
            copied_words=len(controls),
            copied_words_n=len(words),
            copied_controls=len({token for control in controls.values() for token in control}),
        )

    return _by_decoder(lenses, ask_one)


def target_depth(lenses: Lenses, prompts: pd.DataFrame, bootstrap: Bootstrap) -> xr.Dataset:
    """When does the answer arrive? Depths of the target at the last token of accepted prompts.

    (decoder, category): ``target_depth``, mean of the depth from which on the target is among the ten top
    guesses; ``target_first_depth``, mean of the depth at which it first is; ``target_undefined``, the
    number of prompts in which it is not at the end, of ``target_undefined_n``; ``target_depth_change``,
    the mean target_depth minus copying's (NaN for copying itself and where there is none): above 0 where
    copied targets arrive earlier. Unit: prompts.
    """
    tokens = _tokens(lenses)
    accepted = prompts.loc[prompts["accepted"].astype(bool), "id"]
    last = ~tokens[PROMPT].duplicated(keep="last")
    ends = np.flatnonzero(last & (tokens[TARGET_ID] >= 0) & tokens[PROMPT].isin(accepted))
    category = tokens[CATEGORY].to_numpy()[ends]
    groups = masks_by_category(category, tokens[CATEGORY].unique())

    def difference(values: np.ndarray, others: np.ndarray, axis: int) -> np.ndarray:
        return values.mean(axis) - others.mean(axis)

    def ask_one(lens: xr.Dataset) -> xr.Dataset:
        among_top = _target_among_top(lens.isel({TOKEN: ends}))
        settled, first = settled_depth(among_top).values, first_depth(among_top).values
        copied = settled[category == COPYING]
        changes = [
            bootstrap.estimate("target_depth_change", difference, settled[chosen], copied)
            for chosen in ((category == name) & (category != COPYING) for name in groups)
        ]
        undefined = {
            "target_undefined": [np.isnan(settled[group]).sum() for group in groups.values()],
            "target_undefined_n": [group.sum() for group in groups.values()],
        }
        return xr.merge(
            [
                bootstrap.by_category("target_depth", np.mean, settled, groups),
                bootstrap.by_category("target_first_depth", np.mean, first, groups),
                xr.concat(changes, dim=named(CATEGORY, groups), join="exact"),
                xr.Dataset({name: (CATEGORY, values) for name, values in undefined.items()}),
            ]
        )

    return _by_decoder(lenses, ask_one)


def repetition(lenses: Lenses, bootstrap: Bootstrap) -> xr.Dataset:
    """Does what was said often arrive earlier? Depth of the true next token by number of repeats.

    Over the tokens of repetition prompts, and of passages more than half of which repeats. A token's
    repeat number is how often its pair (token, next token) has been said before in the prompt: the pair
    and not the next token alone, since only a pair seen before tells what follows. Where a cycle of words
    first begins again, the next word has been said, but not after this one.

    (decoder, repeat): ``repeat_depth``, the depth from which on the next token is among the ten top
    guesses, mean over those tokens of a prompt for which there is one, then over prompts;
    ``repeat_share``, the share of tokens for which there is one. High numbers are of long prompts
    only, so ``repeat_change`` (decoder) compares within prompts: ``repeat_depth`` at a prompt's last
    repeat minus that at its first, mean over prompts with two repeats or more. Unit: prompts.
    """
    tokens = _tokens(lenses)
    tokens = tokens[tokens[TARGET_ID] >= 0]
    repeat = tokens.groupby([PROMPT, TOKEN_ID, TARGET_ID]).cumcount()
    mostly = (repeat > 0).groupby(tokens[PROMPT]).transform("mean") > 0.5
    chosen = (tokens[CATEGORY] == REPETITION) | ((tokens[CATEGORY] == PASSAGES) & mostly)
    tokens, repeat = tokens[chosen], repeat[chosen]
    numbers = np.arange(repeat.max() + 1 if len(repeat) else 0)

    def ask_one(lens: xr.Dataset) -> xr.Dataset:
        settled = settled_depth(_target_among_top(lens.isel({TOKEN: tokens.index.to_numpy()})))
        each = pd.Series(settled.values, tokens.index).groupby([tokens[PROMPT], repeat])
        depth, share = (
            table.unstack().reindex(columns=range(max(3, len(numbers)))).to_numpy().T  # (repeat, prompt)
            for table in (each.mean(), each.count() / each.size())
        )
        last = pd.DataFrame(depth[2:]).ffill().to_numpy()[-1]
        answers = [bootstrap.estimate("repeat_change", np.mean, last - depth[1])]
        for name, values in (("repeat_depth", depth), ("repeat_share", share)):
            curve = [bootstrap.estimate(name, np.mean, values[number]) for number in numbers]
            answers += [xr.concat(curve, dim=named(REPEAT, numbers), join="exact")] if curve else []
        return xr.merge(answers)

    return _by_decoder(lenses, ask_one)


def prediction_depth(lenses: Lenses, bootstrap: Bootstrap) -> xr.Dataset:
    """From where on is the top guess the final one?

    The word is Baldock et al.'s (2021, "Deep learning through the lens of example difficulty"): the
    depth from which on the top guess is that of depth L. (decoder, category): ``prediction_depth``, mean
    over all tokens of a prompt, then over prompts; ``prediction_depth_last``, at last tokens alone.
    Always defined, L at the latest. Unit: prompts.
    """
    tokens = _tokens(lenses)

    def ask_one(lens: xr.Dataset) -> xr.Dataset:
        settled = pd.Series(settled_depth(agreement(lens) == 1).values)
        each = settled.groupby([tokens[CATEGORY], tokens[PROMPT]], sort=False)
        parts = []
        for name, values in (("prediction_depth", each.mean()), ("prediction_depth_last", each.last())):
            groups = masks_by_category(values.index.get_level_values(CATEGORY))
            parts.append(bootstrap.by_category(name, np.mean, values.to_numpy(), groups))
        return xr.merge(parts, join="exact")

    return _by_decoder(lenses, ask_one)


# The answers, as a table --------------------------------------------------------------------

_CHANGE = "log10(rank of the input + 1)"
_OVERALL = ", mean over depths 1 to L"
_RHO = f"Spearman correlation of a token type's count with {_CHANGE}"
_COMMAS = f"{_CHANGE}, third comma minus first"
_COPIED = f"{_CHANGE}, word to be copied minus others as frequent"

HEADLINES = (
    ("first_block", "kl_final_share", "share of the fall in KL(final ‖ depth) that is block 0's", "share"),
    ("first_block", "kl_input_share", "share of KL(input ‖ depth L) that is there after block 0", "share"),
    ("input_kept", "frequency_rho_overall", _RHO + _OVERALL, "correlation"),
    ("input_kept", "frequency_rho", _RHO, "correlation"),
    ("commas", "comma_change_overall", _COMMAS + _OVERALL, "decades"),
    ("commas", "comma_change", _COMMAS, "decades"),
    ("first_instance", "copied_words", "words to be copied that others as frequent stand beside", "words"),
    ("first_instance", "copied_change_overall", _COPIED + _OVERALL, "decades"),
    ("first_instance", "copied_change", _COPIED, "decades"),
    ("target_depth", "target_depth", "depth from which on the target is in the top 10", "blocks"),
    ("target_depth", "target_first_depth", "first depth at which the target is in the top 10", "blocks"),
    ("target_depth", "target_undefined", "prompts whose target is not in the top 10 at depth L", "prompts"),
    ("target_depth", "target_depth_change", "depth of the target minus that of copied targets", "blocks"),
    ("repetition", "repeat_depth", "depth from which on the next token is in the top 10", "blocks"),
    ("repetition", "repeat_share", "share of tokens whose next token is in the top 10 at depth L", "share"),
    (
        "repetition",
        "repeat_change",
        "depth of the next token, a prompt's last repeat minus its first",
        "blocks",
    ),
    ("prediction_depth", "prediction_depth", "depth from which on the top guess is the final one", "blocks"),
    ("prediction_depth", "prediction_depth_last", "the same at last tokens alone", "blocks"),
)
"""Question (a function's name), variable, statistic and unit of the rows of `answers`."""


def answers(questions: xr.Dataset) -> pd.DataFrame:
    """The headline numbers of what `ask` returns; what has no unit to stand on is left out.

    Returns
    -------
    DataFrame
        ``question``, ``decoder``, ``group`` (a category, or "repeat 3"; blank where there is none),
        ``depth`` (NA where there is none), ``statistic``, ``value``, ``low``, ``high`` (NaN where there
        is no interval), ``n`` (units; of two samples compared the smaller one's), ``unit`` (of the value).
    """
    tables = [_rows(questions, *headline) for headline in HEADLINES if headline[1] in questions]
    return pd.concat(tables, ignore_index=True).query("n > 0").reset_index(drop=True)


def _rows(questions: xr.Dataset, question: str, name: str, statistic: str, unit: str) -> pd.DataFrame:
    columns = {"value": name, "low": f"{name}_low", "high": f"{name}_high", "n": f"{name}_n"}
    found = xr.Dataset({column: questions[of] for column, of in columns.items() if of in questions})
    if LAYER in found.dims:
        found = found.sel({LAYER: 0}, drop=True)
    table = found.reset_coords(drop=True).to_dataframe().reset_index()
    group = "repeat " + table[REPEAT].astype(str) if REPEAT in table else table.get(CATEGORY, "")
    depth = table.get(DEPTH, pd.NA)
    table = table.assign(question=question, group=group, depth=depth, statistic=statistic, unit=unit)
    order = ["question", DECODER, "group", DEPTH, "statistic", "value", "low", "high", "n", "unit"]
    types = {DEPTH: "Int64", "value": float, "low": float, "high": float}
    return table.reindex(columns=order).astype(types)


# Their pieces -------------------------------------------------------------------------------


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
        subject = ids[row.subject_start : row.subject_start + row.subject_n_tokens]
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


def _tokens(lenses: Lenses) -> pd.DataFrame:
    """The tokens' coordinates, the same for all decoders; a row each, numbered from 0."""
    first = next(iter(lenses.values()))
    names = (PROMPT, POSITION, CATEGORY, TOKEN_ID, TOKEN_STR, TARGET_ID)
    return pd.DataFrame({name: first[name].values for name in names})


def _by_decoder(lenses: Lenses, ask_one: Callable[[xr.Dataset], xr.Dataset]) -> xr.Dataset:
    whole = {name: _at_whole_depths(lens) for name, lens in lenses.items()}
    answers = xr.concat([ask_one(lens) for lens in whole.values()], dim=named(DECODER, whole), join="exact")
    depths = next(iter(whole.values()))[DEPTH].values
    coordinates = {DEPTH: depths, LAYER: depths[:-1]}
    return answers.assign_coords({dim: c for dim, c in coordinates.items() if dim in answers.dims})


def _at_whole_depths(lens: xr.Dataset) -> xr.Dataset:
    whole = lens.isel({DEPTH: lens[DEPTH].values % 1 == 0})
    return whole.assign_coords({DEPTH: whole[DEPTH].values.astype(int)})
