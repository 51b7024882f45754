"""Labels of the corpus's words (`strata.text.words`): in its grammar every sentence has one derivation."""

import re
from collections.abc import Iterator, Sequence

from strata.organism.corpus import Corpus, Document
from strata.organism.grammar import Grammar
from strata.text.words import INSIDE, Tagged, Word, roles

# The relation of each lexical class of data/organism/grammar.yaml; a main verb's depends on its clause.
_CLASSES = {
    "det": "det_sg det_pl the_place",
    "amod": "adj colour",
    "nummod": "number",
    "case": "prep",
    "nsubj": "noun_sg noun_pl name who",
    "obj": "thing_sg thing_pl",
    "obl": "place time",
    "advmod": "adverb",
    "mark": "that",
    "expl": "there",
    "punct": "stop comma",
    "root": "verb_past verb_sg verb_pl move_past move_sg move_pl said was",
}
_RELATION_OF = {name: relation for relation, names in _CLASSES.items() for name in names.split()}
_SENTENCE = re.compile(r"[^.\n]+\.")
_WORD = re.compile(r"\w+|[^\w\s]")


def derivation(grammar: Grammar, words: Sequence[str]) -> list[tuple[str, ...]] | None:
    """How a grammar makes a sentence: the symbols from ``sentence`` down to the class of each word.

    The first word may have a capital. None if it is no sentence of the grammar.
    """

    def is_of(start: int, symbol: str) -> bool:
        known = grammar.lexicon[symbol][1].options
        word = words[start]
        return word in known or (start == 0 and word[:1].lower() + word[1:] in known)

    def of_symbol(symbol: str, start: int, above: tuple[str, ...]) -> Iterator[list[tuple[str, ...]]]:
        path = (*above, symbol)
        if symbol in grammar.rules:
            for expansion in grammar.rules[symbol].options:
                yield from of_sequence(expansion, start, path)
        elif start < len(words) and is_of(start, symbol):
            yield [path]

    def of_sequence(symbols: tuple[str, ...], start: int, above: tuple[str, ...]):
        if not symbols:
            yield []
            return
        for first in of_symbol(symbols[0], start, above):
            for rest in of_sequence(symbols[1:], start + len(first), above):
                yield first + rest

    return next((paths for paths in of_symbol("sentence", 0, ()) if len(paths) == len(words)), None)


def tag_document(document: Document, grammar: Grammar) -> Tagged:
    """Label the words of every sentence of a document that is one of the grammar's.

    Raises
    ------
    ValueError
        If the grammar has a class of words whose relation is not known.
    """
    words: list[Word] = []
    for sentence in _SENTENCE.finditer(document.text):
        found = list(_WORD.finditer(document.text, *sentence.span()))
        paths = derivation(grammar, [word[0] for word in found])
        if paths is not None:
            tags = [grammar.lexicon[path[-1]][0] for path in paths]
            relations = _relations(paths)
            # What is inside a phrase stands before the phrase's head in this grammar.
            heads = [i + 1 if relation in INSIDE else -1 for i, relation in enumerate(relations)]
            labels = zip(tags, relations, roles(relations, heads), strict=True)
            words += [Word(*word.span(), *each) for word, each in zip(found, labels, strict=True)]
    return Tagged(document.text, tuple(words), document.kind)


def corpus_documents(corpus: Corpus, n_documents: int, filler: float, seed: int) -> Iterator[Tagged]:
    """Documents of the organism's corpus, a share ``filler`` of them sentences of its grammar and no more.

    In the corpus itself they are fewer, too few for probes.
    """
    n_filler = round(filler * n_documents)
    wanted = {True: n_filler, False: n_documents - n_filler}
    documents = corpus.documents(seed, ramped=True)
    while any(wanted.values()):
        document = next(documents)
        is_filler = document.kind == "filler"
        if wanted[is_filler]:
            wanted[is_filler] -= 1
            yield tag_document(document, corpus.grammar)


def _relations(paths: Sequence[tuple[str, ...]]) -> list[str]:
    """Relations of a sentence's words by their derivation."""
    is_reported = ("sentence", "said") in paths
    found = []
    for *_, phrase, name in paths:
        relation = _RELATION_OF.get(name)
        if relation is None:
            raise ValueError(f"the grammar's class {name!r} has no dependency relation in {__name__}")
        if relation == "root" and phrase == "who_phrase":
            relation = "acl"
        elif relation == "root" and phrase != "sentence" and is_reported:
            relation = "ccomp"
        found.append(relation)
    return found
