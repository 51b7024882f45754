"""Text whose words are tagged, and the tags on tokens.

Words have three labels, spelled as in Universal Dependencies: ``tag``, the part of speech; ``relation``,
the word's own dependency relation, without its subtype; ``role``, the relation of the phrase that the word
belongs to: in "near the garden" all three words are oblique, though the first is a case marker and the
second a determiner. They come from the organism's grammar, in which every sentence has one derivation, or
from a CoNLL-U file.

A label sits on the last token of its word, for only there has all of the word been read. The next token
then begins the next word: what is to come is the next word's label, and no token of a word is asked for
the rest of that word. Tokens in which two words meet have no label.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import xarray as xr
from conllu.exceptions import ParseException
from conllu.parser import DEFAULT_FIELDS, parse_line

from strata.inputs import BadInput
from strata.names import KIND, TOKEN
from strata.organism.corpus import Corpus, Document
from strata.organism.grammar import Grammar
from strata.text import documents as plain_text
from strata.text.documents import SPLITS

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
            raise ValueError(f"the grammar's class {name!r} has no dependency relation in strata.text.tagged")
        if relation == "root" and phrase == "who_phrase":
            relation = "acl"
        elif relation == "root" and phrase != "sentence" and is_reported:
            relation = "ccomp"
        found.append(relation)
    return found


def read_conllu(lines: Iterable[str], file: str) -> Iterator[Tagged]:
    """The sentences of a CoNLL-U file, each a document: its forms, UPOS, DEPREL and HEAD columns.

    The text is put together from the forms, with a space after each but where MISC says
    ``SpaceAfter=No``. A multi-word token (``3-4``, "don't") is written as such and has no labels, since
    it would have several; empty nodes (``8.1``) are not written at all. Of a relation with a subtype
    (``nsubj:pass``) the part before the colon is kept.

    Parameters
    ----------
    lines : of the file
    file : its name, for messages

    Raises
    ------
    BadInput
        With the sentence and the line, if there is no such sentence.
    """
    number = 0
    try:
        for is_blank, block in groupby(enumerate(lines, 1), lambda numbered: not numbered[1].strip()):
            rows = [] if is_blank else [(n, line.rstrip("\r\n")) for n, line in block if line[0] != "#"]
            if rows:
                number += 1
                yield _conllu_sentence(rows, f"{file}: sentence {number}, line")
    except UnicodeDecodeError as error:
        raise BadInput(f"{file}: sentence {number + 1} or after: not UTF-8: {error.reason}") from error
    if not number:
        raise BadInput(f"{file}: no sentence in it (expected: CoNLL-U)")


def check_conllu(path: str) -> None:
    """Read a whole CoNLL-U file for its mistakes.

    Raises
    ------
    BadInput
        See `read_conllu`.
    """
    with Path(path).expanduser().open(encoding="utf-8") as lines:
        for _ in read_conllu(lines, path):
            pass


def _conllu_sentence(rows: list[tuple[int, str]], where: str) -> Tagged:
    """A sentence of numbered lines; ``where`` begins a message that goes on with the line's number."""
    surface, nodes, within = [], [], 0
    for number, line in rows:
        node = _conllu_node(line, f"{where} {number}")
        match node["id"]:
            case int() as position:
                nodes.append((number, node))
                if position != len(nodes):
                    raise BadInput(f"{where} {number}: word {position} (expected: word {len(nodes)})")
                if position > within:
                    surface.append((node, position - 1))
            case (_, "-", last):
                within = last
                surface.append((node, None))
    if not nodes or within > len(nodes):
        raise BadInput(f"{where} {rows[-1][0]}: the sentence ends before its last word")
    for number, node in nodes:
        if not 0 <= node["head"] <= len(nodes):
            raise BadInput(f"{where} {number}: head {node['head']} (expected: 0 to {len(nodes)})")
    relations = [node["deprel"].split(":")[0] for _, node in nodes]
    try:
        phrase = roles(relations, [node["head"] - 1 for _, node in nodes])
    except ValueError as error:
        raise BadInput(f"{where} {rows[0][0]}: {error}") from error

    text, words = "", []
    for node, index in surface:
        end = len(text) + len(node["form"])
        labels = () if index is None else (node["upos"], relations[index], phrase[index])
        words.append(Word(len(text), end, *labels))
        glued = (node["misc"] or {}).get("SpaceAfter") == "No"
        text += node["form"] + ("" if glued else " ")
    return Tagged(text.removesuffix(" "), tuple(words))


def _conllu_node(line: str, where: str) -> Mapping:
    try:
        node = parse_line(line, DEFAULT_FIELDS)
    except ParseException as error:
        raise BadInput(f"{where}: {error}") from error
    if len(node) != len(DEFAULT_FIELDS):
        raise BadInput(f"{where}: {len(node)} columns (expected: {len(DEFAULT_FIELDS)}, between tabs)")
    if node["id"] is None or not node["form"]:
        raise BadInput(f"{where}: a line without {'id' if node['id'] is None else 'form'}")
    if isinstance(node["id"], int):
        for column in ("upos", "head", "deprel"):
            if node[column] in (None, "", "_"):
                raise BadInput(f"{where}: word {node['form']!r} has no {column.upper()}")
    return node


# Tokens -------------------------------------------------------------------------------------

Encode = Callable[[list[str]], tuple[list[list[int]], list[list[tuple[int, int]]]]]
"""Texts to token ids and to each token's first character and the one past its last."""


def sample(
    documents: Iterable[Tagged], encode: Encode, n_documents: int, max_tokens: int, seed: int
) -> xr.Dataset:
    """Draw documents, split them, and put the labels of words on tokens.

    Parameters
    ----------
    documents : those said twice are taken once
    encode : see `Encode`
    n_documents : how many to draw, or all if there are fewer
    max_tokens : at which a document is cut
    seed : of the draw and of the order

    Returns
    -------
    Dataset (token)
        As `strata.text.documents.as_dataset` returns it; ``tag``, ``relation``, ``role`` of the word
        that ends in the token, ``next_tag``, ... of the next word if that begins with the next token,
        "" where there is none; ``kind`` of document.

    Raises
    ------
    ValueError
        If there are fewer documents of two tokens than splits.
    """
    unique = list({document.text: document for document in documents}.values())
    drawn = random.Random(seed).sample(unique, min(n_documents, len(unique)))
    encoded = zip(drawn, *encode([document.text for document in drawn]), strict=True)
    long = [(document, ids, offsets) for document, ids, offsets in encoded if len(ids) > 1]
    if len(long) < len(SPLITS):
        raise ValueError(
            f"the text has {len(long)} sentences of two tokens or more; {len(SPLITS)} are needed"
        )
    dataset = plain_text.as_dataset([ids[:max_tokens] for _, ids, _ in long])
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
