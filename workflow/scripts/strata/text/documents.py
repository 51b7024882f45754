"""Text to fit and test decoders and probes on: documents, split once and for all.

A document is a text of its own: of the organism's corpus, or a stretch of a user's file between blank
lines. Documents are never joined, so that every token stands in the context in which it was written.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import numpy as np
import pandas as pd
import xarray as xr

from strata.inputs import BadInput
from strata.names import BEGINNING, DOCUMENT, POSITION, SPLIT, TOKEN, TOKEN_ID, VOCAB

SPLITS = {"train": 0.7, "validation": 0.15, "test": 0.15}
"""Shares of the documents: to fit on, to choose by, to report."""


def sample(
    documents: Iterable[str],
    encode: Callable[[list[str]], list[list[int]]],
    n_documents: int,
    max_tokens: int,
    vocab: int,
    seed: int,
    source: str = "the text",
    beginning: Sequence[int] = (),
) -> tuple[list[list[int]], np.ndarray]:
    """Draw documents evenly from all, and count tokens in all, in one pass.

    Parameters
    ----------
    documents : texts; those said twice are taken once
    encode : texts to token ids, without the beginning
    n_documents : how many to draw, or all if there are fewer
    max_tokens : at which a drawn document is cut
    vocab : entries of the vocabulary
    seed : of the draw
    source : what the texts are, for messages
    beginning : tokens that are put before every document, and not counted

    Returns
    -------
    documents : list of lists of token ids, two at least in each, in random order
    counts : int64 (vocab), over everything that was read, repeated documents too

    Raises
    ------
    BadInput
        If there are fewer different documents of two tokens than splits.
    """
    rng = random.Random(seed)
    counts = np.zeros(vocab, np.int64)
    seen: set[int] = set()
    drawn: list[list[int]] = []
    found = 0
    waiting = iter(documents)
    while texts := list(islice(waiting, 1000)):
        encoded = encode(texts)
        counts += np.bincount(np.concatenate(encoded).astype(np.int64), minlength=vocab)
        for text, ids in zip(texts, encoded, strict=True):
            mark = hash(text)
            if mark in seen or len(ids) < 2:
                continue
            seen.add(mark)
            # Reservoir sampling (Vitter's algorithm R).
            found += 1
            if len(drawn) < n_documents:
                drawn.append([*beginning, *ids][:max_tokens])
            elif (slot := rng.randrange(found)) < n_documents:
                drawn[slot] = [*beginning, *ids][:max_tokens]
    if len(drawn) < len(SPLITS):
        raise BadInput(
            f"{source}: {len(drawn)} different documents of two tokens or more (expected: {len(SPLITS)})"
        )
    rng.shuffle(drawn)
    return drawn, counts


def as_dataset(documents: Sequence[Sequence[int]], n_beginning: int = 0) -> xr.Dataset:
    """Documents as tokens in a row: ``token_id``, ``document``, ``position``, ``split`` (token).

    ``beginning`` (token) says which are among the ``n_beginning`` that stand before the text.
    """
    lengths = [len(document) for document in documents]
    bounds = np.rint(np.cumsum(list(SPLITS.values())) * len(documents)).astype(int)
    # With few documents every split has one all the same.
    bounds = np.clip(bounds, [1, 2, len(documents)], [len(documents) - 2, len(documents) - 1, len(documents)])
    split = np.array(list(SPLITS), dtype=object)[np.searchsorted(bounds, np.arange(len(documents)), "right")]
    return xr.Dataset(
        {TOKEN_ID: (TOKEN, np.concatenate([np.asarray(d, np.int64) for d in documents]))},
        coords={
            DOCUMENT: (TOKEN, np.repeat(np.arange(len(documents)), lengths)),
            POSITION: (TOKEN, np.concatenate([np.arange(n) for n in lengths])),
            SPLIT: (TOKEN, np.repeat(split, lengths)),
            BEGINNING: (TOKEN, np.concatenate([np.arange(n) < n_beginning for n in lengths])),
        },
    )


def documents_of(text: xr.Dataset, split: str | None = None) -> list[list[int]]:
    """The documents of a dataset that `as_dataset` made, or those of one split."""
    if split is not None:
        text = text.isel({TOKEN: np.flatnonzero(text[SPLIT].values == split)})
    starts = np.flatnonzero(text[POSITION].values == 0)[1:]
    return [ids.tolist() for ids in np.split(text[TOKEN_ID].values, starts)]


def next_in_document(text: xr.Dataset) -> np.ndarray:
    """The next token of every token, -1 at a document's end."""
    ids, document = text[TOKEN_ID].values, text[DOCUMENT].values
    following = np.append(ids[1:], -1)
    following[np.append(document[1:] != document[:-1], True)] = -1
    return following


def counts_table(counts: np.ndarray, strings: Sequence[str]) -> pd.DataFrame:
    """How often each token of the vocabulary occurs: ``token_id``, ``token_str``, ``count``."""
    return pd.DataFrame({"token_id": range(len(counts)), "token_str": strings, "count": counts})


def count_by_row(token_id: xr.DataArray, counts: pd.DataFrame) -> xr.DataArray:
    """Counts (vocab), matched by token id; NaN for rows that the table does not have (padding, mostly)."""
    by_id = counts.set_index(TOKEN_ID)["count"]
    count = by_id.reindex(token_id.values).to_numpy(float)
    if not np.nansum(count):
        raise ValueError("no token of the vocabulary is counted in the table")
    return xr.DataArray(count, dims=VOCAB, coords=token_id.coords, name="count")
