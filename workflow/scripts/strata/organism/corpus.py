"""The organism's corpus: seeded documents of known kinds.

Kinds: ``facts`` (in many wordings, among sentences that name other subjects), ``rote``
(phrases, and look-alikes that differ from a phrase in its subject and so go on otherwise),
``copying`` (a rare word said again), ``repetition`` (a sequence of random words over and over),
``filler`` (sentences of the grammar) and ``medley`` (several of these in one document). Documents
are packed into rows, each ended by the end-of-text token, a row beginning with a new document.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

import numpy as np

from strata.organism.grammar import Grammar, read_grammar
from strata.organism.tables import Phrase, World, read_world

END_OF_TEXT = "<|endoftext|>"

EARLY_REPETITION = 4
"""How many times as common repetition is at the corpus's beginning: what copies forms from it."""


@dataclass(frozen=True)
class Document:
    """A text of the corpus and the kind of thing that it is."""

    kind: str
    text: str


def vocabulary(world: World, grammar: Grammar) -> list[str]:
    """The words that random sequences are drawn from, sorted."""
    return sorted({*grammar.words(), *world.rare_words})


class Corpus:
    """An endless, seeded sequence of documents.

    Parameters
    ----------
    world, grammar
        What the corpus is written from, and the filler.
    mixture : dict
        Kind to its weight among documents.
    lookalikes : float
        Share of rote phrases that are written with another word as subject and another ending.
    clutter : float
        Share of fact sentences with an opening, and share with an aside, naming another subject.
    ramp : int
        Documents until all of that is reached. Facts come one to a document and uncluttered at
        first, and cycles of random words are short: among many subjects none stands out until
        something is known about some.
    """

    def __init__(
        self,
        world: World,
        grammar: Grammar,
        mixture: dict[str, float],
        lookalikes: float,
        clutter: float,
        ramp: int,
    ):
        self.world = world
        self.grammar = grammar
        self.mixture = mixture
        self.lookalikes = lookalikes
        self.clutter = clutter
        self.ramp = ramp
        self._vocabulary = vocabulary(world, grammar)
        self._facts = [(relation, i) for relation in world.relations for i in range(len(relation.facts))]
        self._phrase_texts = {p.text for p in world.phrases}
        self._slot_words = sorted({p.subject for p in world.phrases}) + list(world.rare_words)
        self._makers: dict[str, Callable[[random.Random, float], str]] = {
            "facts": self._fact_document,
            "rote": self._rote_document,
            "copying": self._copying_document,
            "repetition": self._repetition_document,
            "filler": self._filler_document,
            "medley": self._medley_document,
        }

    def documents(self, seed: int, ramped: bool = False) -> Iterator[Document]:
        """Documents without end, the same for the same seed; ``ramped``: past the ramp already."""
        rng = random.Random(seed)
        kinds = list(self.mixture)
        for index in count():
            stage = 1.0 if ramped else min(1.0, index / self.ramp)
            early = {"repetition": EARLY_REPETITION + stage * (1 - EARLY_REPETITION)}
            kind = rng.choices(kinds, [w * early.get(k, 1) for k, w in self.mixture.items()])[0]
            yield Document(kind, self._makers[kind](rng, stage))

    # Facts ------------------------------------------------------------------------------------

    def _fact_sentence(self, rng: random.Random, stage: float) -> str:
        relation, fact = rng.choice(self._facts)
        told = [w for w in range(len(relation.wordings)) if not relation.is_withheld(fact, w)]

        def clutter(clauses: tuple[str, ...]) -> str:
            if rng.random() >= self.clutter * stage:
                return ""
            # With the same object, "people in Mexico, unlike Spain, speak Spanish" would be false.
            other, obj = rng.choice(relation.facts)
            while obj == relation.facts[fact][1]:
                other, obj = rng.choice(relation.facts)
            return rng.choice(clauses).format(other=other)

        opening, aside = clutter(self.world.openings), clutter(self.world.asides)
        return relation.tell(fact, rng.choice(told), opening, aside)

    def _fact_document(self, rng: random.Random, stage: float) -> str:
        sentences = rng.randint(1, 1 + round(3 * stage))
        return " ".join(self._fact_sentence(rng, stage) for _ in range(sentences))

    # Rote phrases -----------------------------------------------------------------------------

    def _lookalike(self, phrase: Phrase, rng: random.Random) -> str:
        text = phrase.text
        while text in self._phrase_texts:
            text = phrase.replacing_subject(rng.choice(self._slot_words))
        return text + rng.choice(self.world.phrases).target

    def _rote_document(self, rng: random.Random, stage: float) -> str:
        lines = []
        for _ in range(rng.randint(1, 4)):
            phrase = rng.choice(self.world.phrases)
            alike = rng.random() < self.lookalikes
            lines.append(self._lookalike(phrase, rng) if alike else phrase.whole)
        return "\n".join(lines)

    # Copying and repetition -------------------------------------------------------------------

    def _copying_document(self, rng: random.Random, stage: float) -> str:
        words, frames = self.world.rare_words, self.world.copy_frames
        texts = []
        for _ in range(rng.randint(1, 2)):
            word, frame = rng.randrange(len(words)), rng.randrange(len(frames))
            while self.world.is_withheld_copy(word, frame):
                word = rng.randrange(len(words))
            other = words[(word + rng.randrange(1, len(words))) % len(words)]
            texts.append(frames[frame].format(word=words[word], other=other))
        return " ".join(texts)

    def _repetition_document(self, rng: random.Random, stage: float) -> str:
        period = rng.randint(1, 2 + round(8 * stage))
        words = rng.sample(self._vocabulary, period)
        return " ".join(words * rng.randint(3, max(3, 48 // period)))

    # Filler -----------------------------------------------------------------------------------

    def _filler_document(self, rng: random.Random, stage: float) -> str:
        return " ".join(self.grammar.sample(rng).text for _ in range(rng.randint(2, 7)))

    # Medleys ----------------------------------------------------------------------------------

    def _medley_document(self, rng: random.Random, stage: float) -> str:
        kinds = [kind for kind in self._makers if kind != "medley"]
        chosen = rng.choices(kinds, [self.mixture[kind] for kind in kinds], k=rng.randint(2, 6))
        return rng.choice("\n ").join(self._makers[kind](rng, stage) for kind in chosen)


def corpus_of(settings: Mapping, folder: str = "data/organism") -> Corpus:
    """The corpus that section ``organism.corpus`` of config.yaml describes, from the tables of a folder."""
    chosen = {key: settings[key] for key in ("mixture", "lookalikes", "clutter", "ramp")}
    return Corpus(read_world(folder), read_grammar(folder), **chosen)


def pack(
    documents: Iterator[Document],
    encode: Callable[[list[str]], list[list[int]]],
    n_rows: int,
    row_length: int,
    end_of_text: int,
    batch: int = 4096,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Pack documents into rows of tokens.

    Returns
    -------
    tokens : uint16 array (row, position)
    kinds : uint8 array (row, position)
        Index into ``names`` of the document's kind; the separator belongs to the document before it.
    names : list of str

    A document that does not fit is cut at the row's end.
    """
    names: list[str] = []
    tokens = np.empty((n_rows, row_length), np.uint16)
    kinds = np.empty((n_rows, row_length), np.uint8)
    row = used = 0
    while row < n_rows:
        chunk = [next(documents) for _ in range(batch)]
        for document, ids in zip(chunk, encode([d.text for d in chunk]), strict=True):
            if document.kind not in names:
                names.append(document.kind)
            piece = [*ids, end_of_text][: row_length - used]
            tokens[row, used : used + len(piece)] = piece
            kinds[row, used : used + len(piece)] = names.index(document.kind)
            used += len(piece)
            if used == row_length:
                row, used = row + 1, 0
                if row == n_rows:
                    break
    return tokens, kinds, names
