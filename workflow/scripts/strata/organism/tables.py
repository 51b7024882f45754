"""What the organism is trained on: facts, rote phrases, frames and words, as plain data.

A `World` is what ``data/organism/`` holds (`read_world`). Which wording is withheld from which fact is
a rule, not a list, so that the corpus, the evaluation and the prompts agree on it without sharing state.
"""

from dataclasses import dataclass
from pathlib import Path

from strata.inputs import read_yaml
from strata.io import read_rows, read_words

WITHHELD_EVERY = 4
"""One wording in four is never used for a given fact; its prompts test recall, not rote."""


@dataclass(frozen=True)
class Relation:
    """One relation: its facts (subject, object) and the wordings that tell them."""

    name: str
    category: str
    facts: tuple[tuple[str, str], ...]
    wordings: tuple[str, ...]

    def is_withheld(self, fact: int, wording: int) -> bool:
        """Whether the corpus never has this fact in this wording."""
        return (fact + wording) % WITHHELD_EVERY == 0

    def tell(self, fact: int, wording: int, opening: str = "", aside: str = "") -> str:
        """One fact in one wording, perhaps with an opening and an aside before and within it."""
        subject, obj = self.facts[fact]
        text = self.wordings[wording].format(subject=subject, object=obj, aside=aside)
        return capitalise(opening + text)


@dataclass(frozen=True)
class Phrase:
    """One rote phrase; ``text + target + rest`` is the whole, ``subject`` a word within ``text``."""

    id: str
    category: str
    text: str
    subject: str
    target: str
    rest: str

    @property
    def whole(self) -> str:
        return self.text + self.target + self.rest

    def replacing_subject(self, word: str) -> str:
        """``text`` with another word in the subject's place."""
        return self.text.replace(self.subject, word, 1)


@dataclass(frozen=True)
class World:
    """Everything the corpus is made of, but for the filler grammar."""

    relations: tuple[Relation, ...]
    phrases: tuple[Phrase, ...]
    openings: tuple[str, ...]
    asides: tuple[str, ...]
    rare_words: tuple[str, ...]
    copy_frames: tuple[str, ...]

    def is_withheld_copy(self, word: int, frame: int) -> bool:
        """Whether the corpus never copies this rare word in this frame."""
        return (word + frame) % WITHHELD_EVERY == 0


def capitalise(text: str) -> str:
    """The text with its first letter as a capital, the rest untouched."""
    return text[:1].upper() + text[1:]


def read_world(folder: str) -> World:
    """Read everything the organism is trained on from ``data/organism``."""
    root = Path(folder)
    relations = tuple(
        Relation(
            name,
            entry["category"],
            tuple((r["subject"], r["object"]) for r in read_rows(root / "facts" / f"{name}.tsv")),
            tuple(entry["wordings"]),
        )
        for name, entry in read_yaml(root / "wordings.yaml").items()
    )
    phrases = tuple(
        Phrase(category=path.stem, **row)
        for path in sorted((root / "rote").glob("*.tsv"))
        for row in read_rows(path)
    )
    clutter = read_yaml(root / "clutter.yaml")
    return World(
        relations=relations,
        phrases=phrases,
        openings=tuple(clutter["openings"]),
        asides=tuple(clutter["asides"]),
        rare_words=read_words(root / "rare_words.txt"),
        copy_frames=tuple(read_yaml(root / "copying.yaml")["frames"]),
    )
