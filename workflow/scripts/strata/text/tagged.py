"""Text whose words are labelled (`strata.text.words`), and the labels on tokens.

A label sits on the last token of its word, for only there has all of the word been read. The next token
then begins the next word: what is to come is the next word's label, and no token of a word is asked for
the rest of that word. Tokens in which two words meet have no label.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np
import xarray as xr

from strata.inputs import BadInput
from strata.names import KIND, TOKEN
from strata.text.documents import SPLITS, as_dataset
from strata.text.words import LABELS, Tagged, Word

Encode = Callable[[list[str]], tuple[list[list[int]], list[list[tuple[int, int]]]]]
"""Texts to token ids and to each token's first character and the one past its last."""


def sample(
    documents: Iterable[Tagged],
    encode: Encode,
    n_documents: int,
    max_tokens: int,
    seed: int,
    n_beginning: int = 0,
    source: str = "the text",
) -> xr.Dataset:
    """Draw documents, split them, and put the labels of words on tokens.

    Parameters
    ----------
    documents : those said twice are taken once
    encode : see `Encode`
    n_documents : how many to draw, or all if there are fewer
    max_tokens : at which a document is cut
    seed : of the draw and of the order
    n_beginning : tokens that ``encode`` puts before every text
    source : what the documents are, for messages

    Returns
    -------
    Dataset (token)
        As `strata.text.documents.as_dataset` returns it; ``tag``, ``relation``, ``role`` of the word
        that ends in the token, ``next_tag``, ... of the next word if that begins with the next token,
        "" where there is none; ``kind`` of document.

    Raises
    ------
    BadInput
        If there are fewer documents of two tokens than splits.
    """
    unique = list({document.text: document for document in documents}.values())
    drawn = random.Random(seed).sample(unique, min(n_documents, len(unique)))
    encoded = zip(drawn, *encode([document.text for document in drawn]), strict=True)
    long = [(document, ids, offsets) for document, ids, offsets in encoded if len(ids) > n_beginning + 1]
    if len(long) < len(SPLITS):
        raise BadInput(
            f"{source}: {len(long)} different sentences of two tokens or more (expected: {len(SPLITS)})"
        )
    dataset = as_dataset([ids[:max_tokens] for _, ids, _ in long], n_beginning)
    columns = defaultdict(list)
    for document, _, offsets in long:
        offsets = offsets[:max_tokens]
        for name, values in label_tokens(document.words, offsets).items():
            columns[name] += values
        columns[KIND] += [document.kind] * len(offsets)
    return dataset.assign_coords({n: (TOKEN, np.array(values, object)) for n, values in columns.items()})


def label_tokens(words: Sequence[Word], offsets: Sequence[tuple[int, int]]) -> dict[str, list[str]]:
    """Labels of words on the tokens that they end in, and of their next words (see the module).

    Parameters
    ----------
    words : in order
    offsets : of every token, the first character and the one past the last

    Returns
    -------
    ``tag``, ``relation``, ``role``, and the same with ``next_``, to a string each token, "" for none
    """
    starts, ends = np.array(offsets).T
    first = np.searchsorted(ends, [word.start for word in words], "right")
    last = np.searchsorted(starts, [word.end - 1 for word in words], "right")
    tokens = [range(*bounds) for bounds in zip(first, last, strict=True)]
    n_words = Counter(token for each in tokens for token in each)
    labels = {name: [""] * len(offsets) for name in (*LABELS, *(f"next_{label}" for label in LABELS))}

    def is_alone(word: int) -> bool:
        """Whether the word's last token is here, and of this word only."""
        own = tokens[word]
        return len(own) > 0 and words[word].end <= ends[own[-1]] and n_words[own[-1]] == 1

    for word in filter(is_alone, range(len(words))):
        for label in LABELS:
            labels[label][tokens[word][-1]] = getattr(words[word], label)
    for word, following in pairwise(range(len(words))):
        begins = tokens[following][:1]
        if is_alone(word) and begins and begins[0] == tokens[word][-1] + 1 and n_words[begins[0]] == 1:
            for label in LABELS:
                labels[f"next_{label}"][tokens[word][-1]] = getattr(words[following], label)
    return labels
