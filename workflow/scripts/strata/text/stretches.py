"""Long samples of a text: neighbouring documents, joined.

The documents that decoders are fitted to stand alone and are cut (`strata.text.documents`). What has to be
seen far from a text's beginning needs more than one of them: here those that follow one another are joined
with a blank line, as they stand in a text file.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence

CHARACTERS = 8
"""To a token: more than any ordinary text has, so that a stretch of as many can be cut to its tokens."""

JOINT = "\n\n"


def long_samples(
    documents: Iterable[str],
    encode: Callable[[list[str]], list[list[int]]],
    n_samples: int,
    n_tokens: int,
    seed: int,
    beginning: Sequence[int] = (),
) -> list[list[int]]:
    """Samples of one length from different places of a text, none overlapping another.

    Parameters
    ----------
    documents : texts, in their order
    encode : texts to token ids, without the beginning
    n_samples : how many to draw, evenly from all; fewer if there is less text
    n_tokens : of a sample, the beginning among them
    seed : of the draw
    beginning : tokens that are put before every sample

    Returns
    -------
    list of lists of ``n_tokens`` token ids; where the text has less than that, itself alone

    Raises
    ------
    ValueError
        If there is no text.
    """
    drawn = _drawn(_stretches(documents, CHARACTERS * n_tokens), n_samples, random.Random(seed))
    if not drawn:
        raise ValueError("no text to draw long samples from")
    samples = [[*beginning, *ids][:n_tokens] for ids in encode(drawn)]
    whole = [ids for ids in samples if len(ids) == n_tokens]
    return whole or [max(samples, key=len)]


def _stretches(documents: Iterable[str], characters: int) -> Iterator[str]:
    """A text from its beginning to its end, in pieces of whole documents with so many characters at least.

    The rest is left out, unless it is all that there is.
    """
    found, waiting, size = False, [], 0
    for document in documents:
        waiting.append(document)
        size += len(document) + len(JOINT)
        if size >= characters:
            yield JOINT.join(waiting)
            found, waiting, size = True, [], 0
    if waiting and not found:
        yield JOINT.join(waiting)


def _drawn(items: Iterable[str], n: int, rng: random.Random) -> list[str]:
    """``n`` of all items, evenly: reservoir sampling (Vitter's algorithm R)."""
    kept: list[str] = []
    for index, item in enumerate(items):
        if index < n:
            kept.append(item)
        elif (slot := rng.randrange(index + 1)) < n:
            kept[slot] = item
    return kept
