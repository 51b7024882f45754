"""Words and their labels, spelled as in Universal Dependencies.

``tag``, the part of speech; ``relation``, the word's own dependency relation, without its subtype; ``role``,
the relation of the phrase that the word belongs to: in "near the garden" all three words are oblique, though
the first is a case marker and the second a determiner.
"""

from collections.abc import Sequence
from dataclasses import dataclass

LABELS = ("tag", "relation", "role")

INSIDE = {"det", "amod", "nummod", "case", "clf", "compound", "flat", "fixed", "goeswith"}
"""Relations of words that have the role of their head."""


@dataclass(frozen=True)
class Word:
    """A word: its first character, the one past its last, and its labels, empty where unknown."""

    start: int
    end: int
    tag: str = ""
    relation: str = ""
    role: str = ""


@dataclass(frozen=True)
class Tagged:
    """A document with what is known of its words, in order; ``kind``: of document, empty if unknown."""

    text: str
    words: tuple[Word, ...] = ()
    kind: str = ""


def roles(relations: Sequence[str], heads: Sequence[int]) -> list[str]:
    """The relation of the phrase that each word belongs to.

    Parameters
    ----------
    relations : of each word to its head
    heads : index of each word's head, -1 for none

    Raises
    ------
    ValueError
        If heads go in a circle.
    """
    found = []
    for word in range(len(relations)):
        head = word
        for _ in relations:
            if relations[head] not in INSIDE or heads[head] < 0:
                break
            head = heads[head]
        else:
            raise ValueError(f"the heads of word {word + 1} go in a circle")
        found.append(relations[head])
    return found
