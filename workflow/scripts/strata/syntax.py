"""Syntax: text whose words are tagged, and where in depth a linear probe reads the tags.

Words have three labels, spelled as in Universal Dependencies: ``tag``, the part of speech; ``relation``,
the word's own dependency relation, without its subtype; ``role``, the relation of the phrase that the word
belongs to: in "near the garden" all three words are oblique, though the first is a case marker and the
second a determiner. They come from the organism's grammar, in which every sentence has one derivation, or
from a CoNLL-U file.

A label sits on the last token of its word, for only there has all of the word been read. The next token
then begins the next word: what is to come is the next word's label, and no token of a word is asked for
the rest of that word. Tokens in which two words meet have no label.

Probes are those of `strata.lens.probes`: fitted by depth for the labels of the current word and of the
next, and for the two tokens themselves. Power's remark on the logit lens, that early depths hold the
current token and late ones the next, and that later is more semantic, so gets numbers: the accuracy by
depth, over what the token alone would tell and over a control task (Hewitt & Liang 2019), and the depth at
which it is gained (Tenney et al. 2019).
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
import pandas as pd
import xarray as xr
from conllu.exceptions import ParseException
from conllu.parser import DEFAULT_FIELDS, parse_line
from torch import Tensor

from strata import text as plain_text
from strata.lens.probes import INPUT, NEXT, TARGETS, TEST, TRAIN, VALIDATION, Moments, fit_better
from strata.lens.probes import Task as Task
from strata.lens.probes import in_unseen_context as in_unseen_context
from strata.names import DEPTH, KIND, LABEL, SAMPLE, TARGET, TOKEN, TOKEN_ID
from strata.organism.corpus import Corpus, Document
from strata.organism.grammar import Grammar
from strata.text import SPLITS, next_in_document
from strata.validation import BadInput

LABELS = ("tag", "relation", "role")
IDENTITY = "token"
"""Beside the labels: which token it is."""

INSIDE = {"det", "amod", "nummod", "case", "clf", "compound", "flat", "fixed", "goeswith"}
"""Relations of words that have the role of their head."""

ACCURACY, CONTROL = "accuracy", "control_accuracy"
GAIN, CONTEXT, LOSS = CENTRES = "gain_centre", "context_centre", "loss_centre"
SUGGESTED = (
    (GAIN, INPUT, "tag"),
    (GAIN, INPUT, "relation"),
    (GAIN, NEXT, "tag"),
    (GAIN, NEXT, IDENTITY),
    (LOSS, INPUT, IDENTITY),
)
"""In the order in which "later is more semantic" would have them: measure, target, label."""

LEAST = 0.02
"""Accuracy that must have been gained, or lost, for the depth of it to be stated."""


# Tagged text --------------------------------------------------------------------------------


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
            raise ValueError(f"the grammar's class {name!r} has no dependency relation in strata.syntax")
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
        As `strata.text.as_dataset` returns it; ``tag``, ``relation``, ``role`` of the word that ends in
        the token, ``next_tag``, ... of the next word if that begins with the next token, "" where there
        is none; ``kind`` of document.

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
    labels = {name: [""] * len(offsets) for name in (*LABELS, *(f"{NEXT}_{label}" for label in LABELS))}

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
                labels[f"{NEXT}_{label}"][tokens[word][-1]] = getattr(words[following], label)
    return labels


# Probes -------------------------------------------------------------------------------------


def analyse(
    load: Callable[[float], Tensor],
    depths: Sequence[float],
    text: xr.Dataset,
    *,
    epochs: int,
    resamples: int,
    interval: float,
    seed: int,
    progress: Callable[[Iterable, str], Iterable] = lambda items, what: items,
) -> xr.Dataset:
    """Probes by depth for the labels of the current word and of the next, and for the two tokens.

    They are fitted on the split ``train`` and scored on the tokens of ``test`` that stand in unseen
    contexts: those for labels where words have them, those for tokens everywhere.

    The control task of a label (Hewitt & Liang 2019) asks for a random one in its place, drawn as often as
    labels occur, the same for every occurrence of a token: of the current one, or of the next one where
    the next word's label is asked for. What a probe gets right there it has by heart from which token it
    is; ``selectivity`` is the accuracy above that.

    Parameters
    ----------
    load : depth to states (token, channel), float32, normalised as the model's parts read them
    depths : ascending
    text : as `sample` returns it
    epochs : passes of `strata.lens.probes.refine`; 0 leaves the closed form
    resamples, interval : of the bootstrap over documents; ``interval`` is a coverage, e.g. 0.95
    seed : of all that is drawn

    Returns
    -------
    Dataset
        By (target, label, depth), target ``input`` (the current word) or ``next``, label ``tag``,
        ``relation``, ``role`` or ``token``: ``accuracy``, ``control_accuracy``, ``selectivity`` (NaN for
        tokens, which are their own control), each with ``_low`` and ``_high``.
        By (target, label): the depths ``gain_centre``, ``context_centre``, ``loss_centre`` (see
        `centres`) with ``_low``, ``_high`` and ``_resampled`` (sample, ...), which are drawn together;
        ``most_frequent``, the accuracy of always saying the most frequent label; ``given_token``, that
        of the label most frequent with the current token in training, which is what a model without
        context could say; ``chance``, ``unknown_share``, ``n_scored``, ``n_trained``, ``n_classes``,
        ``n_documents`` as in `strata.lens.probes.analyse`.

    Raises
    ------
    ValueError
        If a split has no token to use, no label has two samples, or an argument is impossible.
    """
    if resamples < 1 or epochs < 0 or not 0 < interval < 1:
        raise ValueError(f"impossible: {resamples=}, {epochs=}, {interval=}")
    unseen = in_unseen_context(text)
    rng = np.random.default_rng(seed)
    tasks: dict[tuple[str, str, str], Task] = {}
    for target in TARGETS:
        codes = _codes(text, target)
        for label in codes:
            tasks[ACCURACY, target, label] = task = Task.of(codes[label], text, unseen)
            if label != IDENTITY:
                by_heart = _control(task, np.where(codes[label] >= 0, codes[IDENTITY], -1), rng)
                tasks[CONTROL, target, label] = Task.of(by_heart, text, unseen)

    right: dict[tuple[str, str, str], list[np.ndarray]] = defaultdict(list)
    for depth in progress(depths, "probes for syntax"):
        states = load(depth)
        for key, task in tasks.items():
            train, validation = (task.labelled(states, split) for split in (TRAIN, VALIDATION))
            moments = Moments.of(*train, len(task.classes))
            probe, _ = fit_better(moments, task.classes, train, validation, epochs, seed)
            right[key].append(task.right(probe, states))

    baselines = _baselines(tasks, text)
    bootstrap = Bootstrap.of([task.documents for task in tasks.values()], resamples, seed)
    found = _measured({key: np.mean(rows, 1) for key, rows in right.items()}, depths, baselines, LEAST)
    drawn = {key: bootstrap.means(np.stack(rows), tasks[key].documents) for key, rows in right.items()}
    resampled = _measured(drawn, depths, baselines, 0).where(found.notnull())
    result = found.merge(baselines, join="exact")
    for end, share in (("low", (1 - interval) / 2), ("high", (1 + interval) / 2)):
        bounds = resampled.quantile(share, SAMPLE, skipna=False).drop_vars("quantile")
        result = result.merge(bounds.rename({name: f"{name}_{end}" for name in found}), join="exact")
    together = resampled[list(CENTRES)].rename({name: f"{name}_resampled" for name in CENTRES})
    return result.merge(together, join="exact").assign_attrs(epochs=epochs, interval=interval)


def centres(accuracy: xr.DataArray, most_frequent: xr.DataArray, least: float = LEAST) -> xr.Dataset:
    """The depths at which accuracy is gained and lost, on average.

    Tenney et al. (2019) weigh each depth by the accuracy gained since the one before, and call the mean
    the expected layer, the centre of gravity of a task. Their probes read all depths up to one, and lose
    nothing by going deeper; here the best accuracy so far stands for that. What is lost is counted the
    same way from the other end, by the best accuracy still to come.

    Parameters
    ----------
    accuracy : (depth, ...)
    most_frequent : (...), accuracy without any state
    least : what must have been gained, or lost, in all

    Returns
    -------
    Dataset (...)
        ``gain_centre`` of all that is gained over ``most_frequent``, what is there at the first depth
        counted at that depth; ``context_centre`` of what is gained after the first depth, as Tenney et
        al. have it; ``loss_centre``; NaN where there is less than ``least`` of it. ``gained``,
        ``gained_in_context``, ``lost``: how much there is, in accuracy.
    """
    so_far = _running_maximum(accuracy)
    to_come = _running_maximum(accuracy.isel({DEPTH: slice(None, None, -1)})).sel({DEPTH: accuracy[DEPTH]})
    at_once = (so_far.isel({DEPTH: [0]}) - most_frequent).clip(min=0)
    in_context = so_far.diff(DEPTH)
    changes = {
        (GAIN, "gained"): xr.concat([at_once, in_context], DEPTH, join="exact"),
        (CONTEXT, "gained_in_context"): in_context,
        (LOSS, "lost"): -to_come.diff(DEPTH),
    }
    found = {}
    for (centre, total), change in changes.items():
        found[total] = change.sum(DEPTH, skipna=False)
        enough = found[total].where(found[total] >= least)
        found[centre] = (change * change[DEPTH]).sum(DEPTH, skipna=False) / enough
    return xr.Dataset(found)


def tables(result: xr.Dataset) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What `analyse` returns as tables: a row each (target, label, depth), and each (target, label)."""
    result = result.drop_dims(SAMPLE)
    by_depth = [name for name, values in result.data_vars.items() if DEPTH in values.dims]
    every = result[by_depth].to_dataframe(dim_order=[TARGET, LABEL, DEPTH])
    return every.reset_index(), result.drop_vars([*by_depth, DEPTH]).to_dataframe().reset_index()


def compare(result: xr.Dataset, order: Sequence[tuple[str, str, str]] = SUGGESTED) -> pd.DataFrame:
    """Whether one task's centre lies before the next one's, in a given order of tasks.

    Parameters
    ----------
    result : as `analyse` returns it
    order : of tasks, each a measure (``gain_centre``, ...), a target and a label

    Returns
    -------
    Table, a row for each pair of neighbours: ``earlier`` and ``later`` (measure, target and label in
    words), ``difference`` of their centres in depths, ``low`` and ``high`` (percentiles of the bootstrap),
    ``in_order`` (share of resamples in which the earlier one is earlier); NaN where a centre is.
    """
    ends = [(1 - result.attrs["interval"]) / 2, (1 + result.attrs["interval"]) / 2]

    def of_task(task: tuple[str, str, str], suffix: str = "") -> xr.DataArray:
        measure, target, label = task
        return result[measure + suffix].sel({TARGET: target, LABEL: label}, drop=True)

    rows = []
    for earlier, later in pairwise(order):
        apart = (of_task(later, "_resampled") - of_task(earlier, "_resampled")).values
        low, high = np.quantile(apart, ends)
        in_order = np.nan if np.isnan(apart).any() else (apart > 0).mean()
        difference = float(of_task(later) - of_task(earlier))
        rows.append([" ".join(earlier), " ".join(later), difference, low, high, in_order])
    return pd.DataFrame(rows, columns=["earlier", "later", "difference", "low", "high", "in_order"])


def _codes(text: xr.Dataset, target: str) -> dict[str, np.ndarray]:
    """Labels as numbers (token), -1 for none, and beside them the tokens of the words so labelled."""
    prefix = "" if target == INPUT else f"{NEXT}_"
    codes = {}
    for label in LABELS:
        values = text[prefix + label].values.astype(str)
        codes[label] = np.where(values == "", -1, np.unique(values, return_inverse=True)[1])
    tokens = text[TOKEN_ID].values if target == INPUT else next_in_document(text)
    return codes | {IDENTITY: tokens}


def _control(task: Task, tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random label for each token, drawn as often as labels are; -1 where there is no token."""
    types, index = np.unique(tokens, return_inverse=True)
    drawn = rng.choice(task.classes, len(types), p=task.counts / task.counts.sum())
    return np.where(tokens >= 0, drawn[index], -1)


def _baselines(tasks: Mapping[tuple[str, str, str], Task], text: xr.Dataset) -> xr.Dataset:
    """What could be said without states, by (target, label)."""

    def of_task(target: str, label: str) -> xr.Dataset:
        task = tasks[ACCURACY, target, label]
        return task.baselines().assign(given_token=_given_token(task, text[TOKEN_ID].values))

    labels = (*LABELS, IDENTITY)
    by_target = [
        xr.concat([of_task(target, label) for label in labels], LABEL, join="exact") for target in TARGETS
    ]
    return xr.concat(by_target, TARGET, join="exact").assign_coords(
        {TARGET: list(TARGETS), LABEL: list(labels)}
    )


def _given_token(task: Task, tokens: np.ndarray) -> float:
    """Accuracy of the label that each token has most often in training, or of the most frequent one."""
    train, test = (task.rows[split].numpy() for split in (TRAIN, TEST))
    index = task.index.numpy()
    seen: dict[int, Counter] = defaultdict(Counter)
    for token, label in zip(tokens[train].tolist(), index[train].tolist(), strict=True):
        seen[token][label] += 1
    most_frequent = task.counts.argmax()
    usual = {token: labels.most_common(1)[0][0] for token, labels in seen.items()}
    said = [usual.get(token, most_frequent) for token in tokens[test].tolist()]
    return float(np.mean(said == index[test]))


def _measured(
    rates: Mapping[tuple[str, str, str], np.ndarray],
    depths: Sequence[float],
    baselines: xr.Dataset,
    least: float,
) -> xr.Dataset:
    """Accuracies (..., depth) by (target, label), labelled, with what is calculated from them."""
    coords = {TARGET: baselines[TARGET].values, LABEL: baselines[LABEL].values}
    missing = np.full_like(next(iter(rates.values())), np.nan)
    dims = (TARGET, LABEL, *(SAMPLE, DEPTH)[-missing.ndim :])
    fields = {
        name: (
            dims,
            [
                [rates.get((name, target, label), missing) for label in coords[LABEL]]
                for target in coords[TARGET]
            ],
        )
        for name in (ACCURACY, CONTROL)
    }
    found = xr.Dataset(fields, coords | {DEPTH: np.asarray(depths, float)})
    found = found.assign(selectivity=found[ACCURACY] - found[CONTROL])
    return found.merge(centres(found[ACCURACY], baselines["most_frequent"], least), join="exact")


def _running_maximum(values: xr.DataArray) -> xr.DataArray:
    """The greatest value so far along depth."""
    axis = values.get_axis_num(DEPTH)
    return values.copy(data=np.maximum.accumulate(values.values, axis))


@dataclass(frozen=True)
class Bootstrap:
    """Documents drawn with replacement, the same draws for every task: ``drawn`` (sample, document)."""

    names: np.ndarray
    drawn: np.ndarray

    @classmethod
    def of(cls, documents: Sequence[np.ndarray], resamples: int, seed: int) -> "Bootstrap":
        names = np.unique(np.concatenate(documents))
        shares = np.full(len(names), 1 / len(names))
        return cls(names, np.random.default_rng(seed).multinomial(len(names), shares, size=resamples))

    def means(self, right: np.ndarray, documents: np.ndarray) -> np.ndarray:
        """Share of tokens that are right (sample, depth), of right (depth, token); NaN of one document."""
        if len(self.names) < 2:
            return np.full((len(self.drawn), len(right)), np.nan)
        index = np.searchsorted(self.names, documents)
        hits = np.stack([np.bincount(index, row, len(self.names)) for row in right])
        sizes = np.bincount(index, minlength=len(self.names))
        with np.errstate(invalid="ignore"):  # where none of a task's documents was drawn
            return self.drawn @ hits.T / (self.drawn @ sizes)[:, None]
