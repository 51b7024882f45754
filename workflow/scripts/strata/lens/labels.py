"""What the lens reads out of all prompts, labelled as it is kept in files."""

from collections.abc import Collection

import numpy as np
import pandas as pd
import xarray as xr
from torch import Tensor

from strata.lens.names import GUESS, PART, WORD, WORDS
from strata.lens.stream import stream_depths
from strata.names import (
    BEGINNING,
    CATEGORY,
    DEPTH,
    FACT,
    LAYER,
    POSITION,
    PROMPT,
    TARGET_ID,
    TOKEN,
    TOKEN_ID,
    TOKEN_STR,
    K,
)

OF_TOKENS = (PROMPT, POSITION, BEGINNING, TOKEN_ID, TOKEN_STR)
"""Coordinates that readouts take over from activations, where these have them."""


def next_tokens(activations: xr.Dataset, prompts: pd.DataFrame) -> np.ndarray:
    """The true next token of every token: the text's own, at a prompt's end its target, else -1."""
    ids, names = activations[TOKEN_ID].values, activations[PROMPT].values
    following = np.append(ids[1:], -1)
    last = np.append(names[1:] != names[:-1], True)
    target = prompts.set_index("id")["target_id"]
    following[last] = target.loc[names[last]]
    return following


def demanded_words(activations: xr.Dataset, prompts: pd.DataFrame) -> np.ndarray | None:
    """The word that a text demands at its end, and the one that its pair does, on the way there.

    Returns
    -------
    int array (token, word)
        Token ids, words in the order of `WORDS`; -1 but for the last ``way_n_tokens`` of a text that demands
        one. None where there is no such text.
    """
    names = activations[PROMPT].values
    demanded = prompts[prompts["accepted"] & (prompts["demands"] != "")].set_index("id")
    if demanded.empty:
        return None
    words = np.full((len(names), len(WORDS)), -1)
    for row in demanded.itertuples():
        way = np.flatnonzero(names == row.Index)[-row.way_n_tokens :]
        words[way] = row.demanded_id, demanded["demanded_id"][row.pair]
    return words


def of_prompts(activations: xr.Dataset, ids: Collection[str]) -> xr.Dataset:
    """The tokens of some prompts and passages; of those that are not there, none."""
    return activations.isel({TOKEN: activations[PROMPT].isin(list(ids)).values})


def as_dataset(
    fields: dict[str, Tensor],
    activations: xr.Dataset,
    target_ids: np.ndarray,
    vocabulary: np.ndarray,
    prompts: pd.DataFrame,
    updates: bool = False,
) -> xr.Dataset:
    """Label what `strata.lens.readout.read_activations` returns.

    Parameters
    ----------
    fields : of the L + 1 states of the stream, or the 2L + 1 with its half-depths, or, with ``updates``, of
        what the attention of every layer adds and then of what the MLP of every layer adds

    Returns
    -------
    Dataset
        Of the stream, dims (depth, token[, k or guess]); depths are 0, 1, ..., L, or 0, ½, 1, ..., L. Of
        updates, dims (part, layer, token[, k]), part ``attn`` or ``mlp``; of the top k the first alone, since
        nobody reads the others.

    It carries the tokens' coordinates. Token strings are the vocabulary's byte-level form;
    ``target_str`` is empty where none is. What is measured in nats or bits says so in its attribute
    ``units``; ``bits_target`` is the surprise at the true next token. Whole numbers are of 32 bits,
    ``rank_of_guess`` of 16 where the vocabulary allows: (depth, token, guess) grows with the square of the
    depth. It is there if it was read out, which is done for the logit lens only: its one reader follows a
    guess through depths, and there it is the model's own. ``logprob_word`` and ``rank_of_word`` (depth,
    token, word) are there if a text demands a word.
    """
    n_layers = activations.sizes[LAYER]
    rows = prompts.set_index("id").loc[activations[PROMPT].values]
    of_tokens = {
        **{name: activations[name].variable for name in OF_TOKENS if name in activations},
        TARGET_ID: (TOKEN, target_ids),
        "target_str": (TOKEN, np.where(target_ids < 0, "", vocabulary[target_ids])),
        **{name: (TOKEN, rows[name].to_numpy(dtype=object)) for name in (CATEGORY, FACT)},
    }
    arrays = {name: values.cpu().numpy() for name, values in fields.items()}
    arrays["top_id"] = arrays["top_id"].astype(np.int32)
    arrays["bits_target"] = -arrays["logprob_target"] / np.float32(np.log(2))
    followed = {}
    if (ranks := arrays.pop("rank_of_guess", None)) is not None:
        small = np.uint16 if len(vocabulary) <= 2**16 else np.int32
        followed = {"rank_of_guess": ((DEPTH, TOKEN, GUESS), ranks.astype(small))}
    of_words = {name: arrays.pop(name) for name in ("logprob_word", "rank_of_word") if name in arrays}

    if updates:
        along = {PART: ["attn", "mlp"], LAYER: np.arange(n_layers)}
    else:
        along = {DEPTH: stream_depths(n_layers, half_depths=len(fields["entropy"]) > n_layers + 1)}
    shape = [len(labels) for labels in along.values()]
    variables = {}
    for name, values in arrays.items():
        own = values[..., :1] if updates and values.ndim == 3 else values
        dims = (*along, *(TOKEN, K)[: own.ndim - 1])
        variables[name] = (dims, own.reshape(*shape, *own.shape[1:]), _units(name))
    places, ids = variables["top_id"][:2]
    variables |= {"top_str": (places, vocabulary[ids])} | followed
    variables |= {name: ((DEPTH, TOKEN, WORD), values, _units(name)) for name, values in of_words.items()}
    guesses = {GUESS: along[DEPTH]} if followed else {}
    words = {WORD: list(WORDS)} if of_words else {}
    return xr.Dataset(variables, along | guesses | words | of_tokens)


def _units(name: str) -> dict[str, str]:
    if name.startswith("bits_"):
        return {"units": "bit"}
    nats = name == "entropy" or name.startswith(("kl_", "logprob_", "top_logprob"))
    return {"units": "nat"} if nats else {}
