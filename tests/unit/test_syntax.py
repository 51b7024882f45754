import random
from collections import Counter
from itertools import islice

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from tokenizers import Tokenizer

from oracles import probes as oracle
from strata import io
from strata.inputs import BadInput, read_yaml
from strata.organism.corpus import Document, corpus_of
from strata.organism.grammar import Grammar, read_grammar
from strata.organism.tables import read_world
from strata.probes.syntax import CENTRES, Bootstrap, analyse, centres, compare, tables
from strata.text.documents import as_dataset, documents_of
from strata.text.tagged import (
    LABELS,
    Tagged,
    Word,
    corpus_documents,
    derivation,
    label_tokens,
    read_conllu,
    roles,
    sample,
    tag_document,
)

TOKENIZER = Tokenizer.from_file("data/models/organism/tokenizer.json")


@pytest.fixture(scope="module")
def corpus():
    settings = read_yaml("config.yaml")["organism"]["corpus"]
    return corpus_of(read_world("data/organism"), read_grammar("data/organism"), settings)


def encode(texts):
    encodings = TOKENIZER.encode_batch(texts)
    return [e.ids for e in encodings], [e.offsets for e in encodings]


def spelled(document):
    return [document.text[word.start : word.end] for word in document.words]


# The grammar --------------------------------------------------------------------------------


def test_tags_are_those_that_the_grammar_drew(corpus):
    rng = random.Random(0)
    for _ in range(60):
        drawn = [corpus.grammar.sample(rng) for _ in range(3)]
        tagged = tag_document(Document("filler", " ".join(s.text for s in drawn)), corpus.grammar)
        assert [w.tag for w in tagged.words] == [tag for s in drawn for tag in s.tags]
        words = [word.lower() for s in drawn for word in s.words]
        assert [word.lower() for word in spelled(tagged)] == words
        assert all(word.relation and word.role for word in tagged.words)


@pytest.mark.parametrize(
    ("text", "relations", "phrases"),
    [
        (
            "Yesterday, Anna found the red box near the market.",
            "obl punct nsubj root det amod obj case det obl punct",
            "obl punct nsubj root obj obj obj obl obl obl punct",
        ),
        (
            "Peter said that the dog who hid every cup walked slowly.",
            "nsubj root mark det nsubj nsubj acl det obj ccomp advmod punct",
            "nsubj root mark nsubj nsubj nsubj acl obj obj ccomp advmod punct",
        ),
        (
            "There was that happy girl in the house.",
            "expl root det amod nsubj case det obl punct",
            "expl root nsubj nsubj nsubj obl obl obl punct",
        ),
        (
            "These old farmers carry six eggs.",
            "det amod nsubj root nummod obj punct",
            "nsubj nsubj nsubj root obj obj punct",
        ),
    ],
)
def test_relations_and_roles_by_hand(corpus, text, relations, phrases):
    words = tag_document(Document("filler", text), corpus.grammar).words
    assert " ".join(word.relation for word in words) == relations
    assert " ".join(word.role for word in words) == phrases


def test_derivations_are_paths_from_the_sentence_to_the_word(corpus):
    paths = derivation(corpus.grammar, ["Anna", "waited", "again", "."])
    assert paths == [
        ("sentence", "name"),
        ("sentence", "vp_past", "move_past"),
        ("sentence", "vp_past", "adverb"),
        ("sentence", "stop"),
    ]
    for wrong in (["Anna", "waited", "again"], ["anna", "waited", "again", "."], ["Anna", "."], []):
        assert derivation(corpus.grammar, wrong) is None


def test_only_sentences_of_the_grammar_are_labelled(corpus):
    text = "The capital of Peru is Lima. The dog waited again.\nbox dog box dog"
    tagged = tag_document(Document("medley", text), corpus.grammar)
    assert spelled(tagged) == ["The", "dog", "waited", "again", "."] and tagged.kind == "medley"
    by_kind = {}
    for document in islice(corpus.documents(5, ramped=True), 300):
        by_kind.setdefault(document.kind, []).append(len(tag_document(document, corpus.grammar).words))
    assert min(by_kind["filler"]) > 5 and sum(by_kind["medley"]) > 0
    assert not any(sum(by_kind[kind]) for kind in ("facts", "rote", "copying", "repetition"))


def test_a_class_without_a_relation_is_named():
    lexicon = {"oh": {"pos": "INTJ", "words": ["oh"]}, "stop": {"pos": "PUNCT", "words": ["."]}}
    grammar = Grammar({"sentence": [[1, "oh stop"]]}, lexicon)
    with pytest.raises(ValueError, match="class 'oh' has no dependency relation"):
        tag_document(Document("filler", "Oh."), grammar)


def test_documents_of_the_corpus_with_as_many_sentences_as_asked(corpus):
    found = list(corpus_documents(corpus, 40, 0.25, seed=3))
    assert Counter(d.kind == "filler" for d in found) == {True: 10, False: 30}
    everything = [d.text for d in islice(corpus.documents(3, ramped=True), 2000)]
    places = [everything.index(d.text) for d in found]
    assert places == sorted(places)


# CoNLL-U ------------------------------------------------------------------------------------

CONLLU = """\
# sent_id = one
# text = I don't read the new books to him.
1\tI\tI\tPRON\t_\t_\t4\tnsubj\t_\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdo\tdo\tAUX\t_\t_\t4\taux\t_\t_
3\tn't\tnot\tPART\t_\t_\t4\tadvmod\t_\t_
4\tread\tread\tVERB\t_\t_\t0\troot\t_\t_
5\tthe\tthe\tDET\t_\t_\t7\tdet\t_\t_
6\tnew\tnew\tADJ\t_\tDegree=Pos\t7\tamod\t_\t_
7\tbooks\tbook\tNOUN\t_\t_\t4\tobj\t4:obj\t_
7.1\tread\tread\tVERB\t_\t_\t_\t_\t4:conj\t_
8\tto\tto\tADP\t_\t_\t9\tcase\t_\t_
9\thim\the\tPRON\t_\t_\t4\tobl:arg\t_\tSpaceAfter=No
10\t.\t.\tPUNCT\t_\t_\t4\tpunct\t_\t_


1-3\tDámelo\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No
1\tDa\tdar\tVERB\t_\t_\t0\troot\t_\t_
2\tme\tyo\tPRON\t_\t_\t1\tiobj\t_\t_
3\tlo\tél\tPRON\t_\t_\t1\tobj\t_\t_
4\t!\t!\tPUNCT\t_\t_\t1\tpunct\t_\t_
"""


def lines_of(text):
    return text.splitlines(keepends=True)


def test_conllu_with_multi_word_tokens_and_empty_nodes():
    first, second = read_conllu(lines_of(CONLLU), "x.conllu")
    assert first.text == "I don't read the new books to him."
    assert spelled(first) == ["I", "don't", "read", "the", "new", "books", "to", "him", "."]
    labels = [(w.tag, w.relation, w.role) for w in first.words]
    assert labels == [
        ("PRON", "nsubj", "nsubj"),
        ("", "", ""),
        ("VERB", "root", "root"),
        ("DET", "det", "obj"),
        ("ADJ", "amod", "obj"),
        ("NOUN", "obj", "obj"),
        ("ADP", "case", "obl"),
        ("PRON", "obl", "obl"),
        ("PUNCT", "punct", "punct"),
    ]
    assert second.text == "Dámelo!" and [w.tag for w in second.words] == ["", "PUNCT"]
    windows = list(read_conllu([line.replace("\n", "\r\n") for line in lines_of(CONLLU)], "x.conllu"))
    assert windows == [first, second]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("3\tn't\tnot\tPART", "3\tn't\tnot\t_", 'sentence 1, line 6: word "n\'t" has no UPOS'),
        ("\t0\troot\t_\t_\n5", "\t0\t_\t_\t_\n5", "sentence 1, line 7: word 'read' has no DEPREL"),
        ("4\tobj\t4:obj", "_\tobj\t4:obj", "sentence 1, line 10: word 'books' has no HEAD"),
        ("4\tobj\t4:obj", "11\tobj\t4:obj", "sentence 1, line 10: head 11 (expected: 0 to 10)"),
        ("4\tobj\t4:obj", "-2\tobj\t4:obj", "sentence 1, line 10: head -2 (expected: 0 to 10)"),
        ("4\tobj\t4:obj", "x\tobj\t4:obj", "sentence 1, line 10: Failed parsing field 'head'"),
        ("5\tthe", "6\tthe", "sentence 1, line 8: word 6 (expected: word 5)"),
        ("5\tthe", "_\tthe", "sentence 1, line 8: a line without id"),
        ("\t4\tpunct\t_\t_", "\t4\tpunct", "sentence 1, line 14: 8 columns (expected: 10, between tabs)"),
        ("1-3\tD", "1-5\tD", "sentence 2, line 21: the sentence ends before its last word"),
        ("4\t!", "no tabs\n4\t!", "sentence 2, line 21: Invalid line format"),
        ("7\tdet", "6\tdet", "heads"),
    ],
)
def test_a_bad_file_gets_one_line(old, new, message):
    if message == "heads":  # the determiner hangs on the adjective, and that on the determiner
        text = CONLLU.replace("7\tdet", "6\tdet").replace("7\tamod", "5\tamod")
        message = "sentence 1, line 3: the heads of word 5 go in a circle"
    else:
        assert CONLLU.count(old) == 1
        text = CONLLU.replace(old, new)
    with pytest.raises(BadInput) as raised:
        list(read_conllu(lines_of(text), "x.conllu"))
    assert str(raised.value).startswith(f"x.conllu: {message}") and "\n" not in str(raised.value)


def test_an_empty_file_and_one_of_other_bytes(tmp_path):
    with pytest.raises(BadInput, match="x.conllu: no sentence in it"):
        list(read_conllu(["# nothing\n", "\n"], "x.conllu"))
    path = tmp_path / "latin.conllu"
    path.write_bytes(CONLLU.encode("latin-1"))
    with pytest.raises(BadInput, match="latin.conllu: sentence 1 or after: not UTF-8"):
        list(read_conllu(io.read_lines(path), "latin.conllu"))


def test_roles_climb_to_the_head_of_the_phrase():
    # "the very old captain's boat sank": a phrase within a phrase keeps its own role.
    relations = ["det", "advmod", "amod", "nmod", "case", "nsubj", "root"]
    assert roles(relations, [3, 2, 3, 5, 3, 6, -1]) == [
        "nmod", "advmod", "nmod", "nmod", "nmod", "nsubj", "root"
    ]  # fmt: skip
    assert roles(["det"], [-1]) == ["det"]
    with pytest.raises(ValueError, match="word 1 go in a circle"):
        roles(["det", "amod"], [1, 0])


# Tokens -------------------------------------------------------------------------------------


def obvious_labels(words, offsets):
    """Character by character: which words have part in each token."""
    parts = [
        [i for i, w in enumerate(words) if any(w.start <= c < w.end for c in range(start, end))]
        for start, end in offsets
    ]
    found = {name: [""] * len(offsets) for name in (*LABELS, *(f"next_{label}" for label in LABELS))}
    for token, present in enumerate(parts):
        if len(present) == 1 and present[0] not in sum(parts[token + 1 :], []):
            word = words[present[0]]
            if offsets[token][1] < word.end:  # the rest was cut away
                continue
            after = parts[token + 1] if token + 1 < len(parts) else []
            for label in LABELS:
                found[label][token] = getattr(word, label)
                if after == [present[0] + 1]:
                    found[f"next_{label}"][token] = getattr(words[after[0]], label)
    return found


def test_labels_of_tokens_are_those_of_the_obvious_loop():
    rng = random.Random(1)
    pieces = ["antelope", "Dámelo", "日本", ".", '"', "...", "the", " ", " ", "  ", "\n", "x" * 9]
    seen = Counter()
    for _ in range(150):
        text, words = "", []
        for piece in rng.choices(pieces, k=12):
            cut = rng.choice([len(piece), rng.randrange(1, len(piece) + 1)])
            for part in filter(str.strip, (piece[:cut], piece[cut:])):
                start = len(text) + piece.index(part)
                words.append(
                    Word(start, start + len(part), *rng.choice([("A", "b", "c"), ("D", "e", "f"), ()]))
                )
            text += piece
        offsets = encode([text])[1][0][: rng.randrange(1, 30)]
        found = label_tokens(words, offsets)
        assert found == obvious_labels(words, offsets), text
        seen.update(found["tag"] + [f"next {tag}" for tag in found["next_tag"]])
    assert min(seen[name] for name in ("A", "D", "", "next A", "next D", "next ")) > 50


def test_a_label_sits_on_the_last_token_of_its_word():
    words = [Word(0, 4, "A", "a", "x"), Word(5, 8, "B", "b", "y"), Word(8, 9, "C", "c", "z")]
    offsets = [(0, 2), (2, 4), (4, 6), (6, 8), (8, 9)]
    found = label_tokens(words, offsets)
    assert found["tag"] == ["", "A", "", "B", "C"] and found["next_tag"] == ["", "B", "", "C", ""]
    assert found["role"] == ["", "x", "", "y", "z"] and found["next_relation"] == ["", "b", "", "c", ""]
    # Two words in one token have no label there, and neither is anyone's next.
    found = label_tokens(words, [(0, 4), (4, 9)])
    assert found["tag"] == ["A", ""] and found["next_tag"] == ["", ""]
    assert set(sum(label_tokens([], offsets).values(), [])) == {""}


def test_sampled_sentences_are_split_and_labelled(corpus):
    documents = [tag_document(d, corpus.grammar) for d in islice(corpus.documents(4, ramped=True), 80)]
    text = sample(documents * 2, encode, 50, 30, seed=0)
    assert len(documents_of(text)) == 50 and Counter(text["position"].values.tolist())[0] == 50
    assert max(map(len, documents_of(text))) == 30
    texts = {TOKENIZER.decode(ids) for ids in documents_of(text)}
    assert len(texts) == 50
    assert set(text["split"].values.tolist()) == {"train", "validation", "test"}
    by_text = {d.text: d for d in documents}
    for _, part in text.groupby("document"):
        whole = next(d for t, d in by_text.items() if t.startswith(TOKENIZER.decode(part["token_id"].values)))
        assert set(part["kind"].values.tolist()) == {whole.kind}
        expected = label_tokens(whole.words, encode([whole.text])[1][0][:30])
        for name, values in expected.items():
            assert part[name].values.tolist() == values
    assert (text["tag"] != "").sum() > 100
    same, other = (sample(documents, encode, 50, 30, seed=s) for s in (0, 1))
    assert same.identical(text) and not other.identical(text)
    with pytest.raises(ValueError, match="the text has 2 sentences of two tokens or more; 3 are needed"):
        sample([*documents[:2], Tagged("a")], encode, 50, 30, seed=0)


# Probes -------------------------------------------------------------------------------------

VOCAB, CHANNELS, DEPTHS = 30, 64, 7
SETTINGS = {"epochs": 0, "resamples": 200, "interval": 0.9, "seed": 3}


def planted():
    """Tags that no token tells, in the states from depth 2 on, and the next one's from depth 4 on.

    Which token it is is there at depths 0 and 1 only; relations and roles are nowhere.
    """
    rng = np.random.default_rng(8)
    text = as_dataset(rng.integers(VOCAB, size=(700, 14)).tolist())
    n = text.sizes["token"]
    last = np.append(np.diff(text["document"].values) > 0, True)
    labels, following = {}, {}
    for label, size in (("tag", 4), ("relation", 3), ("role", 2)):
        labels[label] = rng.choice(list("ABCD")[:size], size=n).astype(object)
        labels[label][rng.random(n) < 0.1] = ""  # words without labels
    for label, values in labels.items():
        following[f"next_{label}"] = np.where(last, "", np.roll(values, -1))
    text = text.assign_coords({k: ("token", v) for k, v in (labels | following).items()})
    basis = np.linalg.qr(rng.normal(size=(CHANNELS, CHANNELS)))[0]
    place = {"A": 0, "B": 1, "C": 2, "D": 3, "": 4}
    tag, next_tag = (
        basis[[place[v] + shift for v in text[name].values]] for name, shift in (("tag", 0), ("next_tag", 5))
    )
    token = rng.normal(size=(VOCAB, CHANNELS))[text["token_id"].values] / 8
    states = [
        0.1 * rng.normal(size=(n, CHANNELS)) + (d >= 2) * tag + (d >= 4) * next_tag + (d < 2) * token
        for d in range(DEPTHS)
    ]
    return text, [torch.from_numpy(state).float() for state in states]


@pytest.fixture(scope="module")
def found():
    text, states = planted()
    return analyse(lambda depth: states[int(depth)], range(DEPTHS), text, **SETTINGS)


def test_labels_are_found_from_where_they_were_planted_on(found):
    for target, label, start, end in (
        ("input", "tag", 2, 7),
        ("next", "tag", 4, 7),
        ("input", "token", 0, 2),
    ):
        part = found["accuracy"].sel(target=target, label=label)
        there = (part["depth"] >= start) & (part["depth"] < end)
        assert (part[there] > 0.97).all() and (part[~there] < 0.35).all(), (target, label)
    for target in ("input", "next"):
        for label, size in (("relation", 3), ("role", 2)):
            np.testing.assert_allclose(found["accuracy"].sel(target=target, label=label), 1 / size, atol=0.1)
    assert (found["accuracy"].sel(target="next", label="token") < 0.12).all()


def test_the_control_task_is_at_chance_where_the_token_is_not_there(found):
    control = found["control_accuracy"]
    assert (control.sel(target="input", label=list(LABELS), depth=[0, 1]) > 0.9).all()
    chance = found["chance"].sel(target="input", label="tag")
    absent = control.sel(target="input", label="tag", depth=slice(2, None))
    assert (abs(absent - chance) < 0.2).all()
    for depth in range(2, DEPTHS):
        for label in LABELS:
            random_label = control.sel(target="next", label=label, depth=depth)
            assert float(random_label) < 0.75
    selectivity = found["selectivity"].sel(target="input", label="tag")
    np.testing.assert_allclose(
        selectivity,
        found["accuracy"].sel(target="input", label="tag") - control.sel(target="input", label="tag"),
    )
    assert (selectivity[:2] < -0.6).all() and (selectivity[2:] > 0.4).all()
    assert (
        control.sel(label="token").isnull().all() and found["selectivity"].sel(label="token").isnull().all()
    )


def test_the_control_task_is_asked_of_labelled_words_only():
    # The states of words without labels say nothing of their tokens.
    rng = np.random.default_rng(6)
    text = as_dataset(rng.integers(VOCAB, size=(200, 10)).tolist())
    is_word = rng.random(text.sizes["token"]) < 0.3
    labels = np.where(is_word, rng.choice(["A", "B"], size=len(is_word)), "").astype(object)
    following = np.where(text["position"].values < 9, np.roll(labels, -1), "").astype(object)
    every = {label: labels for label in LABELS} | {f"next_{label}": following for label in LABELS}
    text = text.assign_coords({name: ("token", values) for name, values in every.items()})
    states = rng.normal(size=(VOCAB, CHANNELS))[text["token_id"].values] * is_word[:, None]
    states = torch.from_numpy(states + 0.1 * rng.normal(size=states.shape)).float()
    found = analyse(lambda depth: states, [0, 1], text, **SETTINGS)
    assert (found["control_accuracy"].sel(target="input", label=list(LABELS)) > 0.95).all()


def test_a_centre_that_is_not_stated_has_no_interval():
    # The second depth knows the tag of one word in eighty more: too little to say where it was gained.
    text, _ = planted()
    rng = np.random.default_rng(7)
    values = text["tag"].values.astype(str)
    states = np.eye(5)[np.unique(values, return_inverse=True)[1]] + 0.1 * rng.normal(size=(len(values), 5))
    less = np.where((rng.random(len(values)) < 1 / 80)[:, None], 0, states)
    both = [torch.from_numpy(part).float() for part in (less, states)]
    found = analyse(lambda depth: both[depth], [0, 1], text, **SETTINGS).sel(target="input", label="tag")
    assert 0.002 < float(found["gained_in_context_low"]) < float(found["gained_in_context_high"]) < 0.02
    assert all(found[f"context_centre{end}"].isnull().all() for end in ("", "_low", "_high", "_resampled"))
    assert found["gain_centre_low"].notnull()


def test_centres_lie_where_things_were_planted(found):
    cases = (
        ("gain_centre", "input", "tag", 2),
        ("context_centre", "input", "tag", 2),
        ("gain_centre", "next", "tag", 4),
        ("gain_centre", "input", "token", 0),
        ("loss_centre", "input", "token", 2),
    )
    for name, target, label, depth in cases:
        centre, low, high = (
            float(found[name + e].sel(target=target, label=label)) for e in ("", "_low", "_high")
        )
        assert centre == pytest.approx(depth, abs=0.25) and low <= centre <= high, (name, target, label)
    # What is there at once is not gained in context.
    assert np.isnan(found["context_centre"].sel(target="input", label="token"))
    assert np.isnan(found["context_centre_low"].sel(target="input", label="token"))
    assert float(found["gained_in_context"].sel(target="input", label="token")) < 0.02


def test_order_of_centres(found):
    order = [
        ("gain_centre", "input", "tag"),
        ("loss_centre", "input", "token"),
        ("gain_centre", "next", "tag"),
    ]
    table = compare(found, [*order, ("context_centre", "input", "token")])
    assert table["earlier"].tolist() == [
        "gain_centre input tag",
        "loss_centre input token",
        "gain_centre next tag",
    ]
    assert table["difference"][1] == pytest.approx(2, abs=0.25) and table["in_order"][1] == 1
    assert table["low"][1] <= table["difference"][1] <= table["high"][1]
    assert table.loc[2, ["difference", "low", "high", "in_order"]].isna().all()
    turned = compare(found, order[::-1])
    assert turned["difference"][0] == pytest.approx(-table["difference"][1]) and turned["in_order"][0] == 0


def test_baselines_are_counted_token_by_token(found):
    text, _ = planted()
    rows = text.to_dataframe().reset_index()
    train = rows[rows["split"] == "train"]
    contexts = [documents_of(text, split) for split in ("train", "test")]
    test = rows[rows["split"] == "test"][oracle.unseen_contexts(*contexts)]
    for target, prefix in (("input", ""), ("next", "next_")):
        for label in LABELS:
            known, scored = (part[part[prefix + label] != ""] for part in (train, test))
            usual = known.groupby("token_id")[prefix + label].agg(lambda v: v.mode()[0])
            counts = known.groupby("token_id")[prefix + label].value_counts()
            assert counts.groupby("token_id").apply(lambda c: (c == c.max()).sum()).max() >= 1
            part = found.sel(target=target, label=label)
            baselines = oracle.baselines(known[prefix + label].tolist(), scored[prefix + label].tolist())
            for name, value in baselines.items():
                assert float(part[name]) == pytest.approx(value)
            assert [int(part[n]) for n in ("n_scored", "n_trained")] == [len(scored), len(known)]
            said = scored["token_id"].map(usual)
            # Where two labels are as frequent with a token, either is usual.
            ties = [t for t, c in counts.groupby("token_id") if (c == c.max()).sum() > 1]
            unsure = scored["token_id"].isin(ties).mean()
            assert float(part["given_token"]) == pytest.approx(
                (said == scored[prefix + label]).mean(), abs=unsure + 1e-9
            )


def test_usual_label_of_a_token_is_what_a_model_without_context_could_say():
    # The label is the parity of the token but for every fifth one, which is the other.
    rng = np.random.default_rng(2)
    text = as_dataset(rng.integers(10, size=(90, 8)).tolist())
    ids, odd = text["token_id"].values, np.arange(text.sizes["token"]) % 5 == 0
    labels = np.where((ids % 2 == 1) ^ odd, "A", "B").astype(object)
    names = [prefix + label for prefix in ("", "next_") for label in LABELS]
    text = text.assign_coords({name: ("token", labels) for name in names})
    states = torch.from_numpy(rng.normal(size=(len(ids), 4))).float()
    found = analyse(lambda depth: states, [0, 1], text, **SETTINGS)
    assert float(found["given_token"].sel(target="input", label="tag")) == pytest.approx(0.8, abs=0.06)
    assert float(found["given_token"].sel(target="input", label="token")) == 1
    assert float(found["given_token"].sel(target="next", label="token")) < 0.3


def test_bootstrap_draws_documents_for_all_tasks_alike():
    rng = np.random.default_rng(5)
    documents = np.repeat(np.arange(12), rng.integers(1, 30, size=12))
    right = rng.random((2, len(documents))) < np.array([[0.3], [0.8]])
    bootstrap = Bootstrap.of([documents, documents[:40]], 300, 6)
    means = bootstrap.means(right, documents)
    for row in range(2):
        bounds = oracle.bootstrap_accuracy(right[row].tolist(), documents.tolist(), 300, 0.8, 6)
        np.testing.assert_allclose(np.quantile(means[:, row], [0.1, 0.9]), bounds)
    assert np.isnan(Bootstrap.of([np.zeros(9)], 10, 0).means(np.ones((2, 9)), np.zeros(9))).all()


def test_intervals_are_of_the_accuracy_and_of_one_width_with_it(found):
    for name in ("accuracy", "control_accuracy", "gained"):
        assert (found[f"{name}_low"] <= found[f"{name}_high"]).where(found[name].notnull(), True).all()
    part = found.sel(target="input", label="tag", depth=0)
    width = float(part["accuracy_high"] - part["accuracy_low"])
    p, n = float(part["accuracy"]), int(part["n_scored"])
    assert width == pytest.approx(2 * 1.645 * np.sqrt(p * (1 - p) / n), rel=0.5)


def test_centres_by_hand():
    accuracy = xr.DataArray([0.5, 0.6, 0.55, 0.9, 0.7], {"depth": [0.0, 2, 4, 6, 8]}, "depth")
    found = centres(accuracy, xr.DataArray(0.2))
    # 0.3 at once, 0.1 at depth 2, 0.3 at depth 6; 0.2 lost at depth 8 (what falls at 4 is to come again).
    assert float(found["gain_centre"]) == pytest.approx((0.1 * 2 + 0.3 * 6) / 0.7)
    assert float(found["context_centre"]) == pytest.approx((0.1 * 2 + 0.3 * 6) / 0.4)
    assert float(found["loss_centre"]) == pytest.approx(8)
    amounts = [float(found[name]) for name in ("gained", "gained_in_context", "lost")]
    assert amounts == pytest.approx([0.7, 0.4, 0.2])
    assert np.isnan(centres(accuracy, xr.DataArray(0.2), least=0.3)["loss_centre"])
    flat = centres(xr.full_like(accuracy, 0.2), xr.DataArray(0.2), least=0)
    assert all(np.isnan(flat[name]) for name in CENTRES)
    worse = centres(accuracy, xr.DataArray(0.55))  # at first worse than saying the most frequent label
    assert float(worse["gained"]) == pytest.approx(0.4)


def test_tables_have_a_row_for_each_task(found):
    by_depth, by_task = tables(found)
    assert len(by_depth) == 2 * 4 * DEPTHS and len(by_task) == 2 * 4
    row = by_depth.set_index(["target", "label", "depth"]).loc[("next", "tag", 4.0)]
    assert row["accuracy"] == float(found["accuracy"].sel(target="next", label="tag", depth=4))
    assert {"gain_centre_low", "given_token", "n_documents"} < set(by_task) and "depth" not in by_task
    assert pd.api.types.is_numeric_dtype(by_task["loss_centre"])


def test_results_can_be_written_and_hang_on_the_seed(found, tmp_path):
    io.write_dataset(found, tmp_path / "syntax.nc")
    with io.open_dataset(tmp_path / "syntax.nc") as read:
        xr.testing.assert_equal(read.load(), found)
    text, states = planted()
    again, other = (
        analyse(lambda d: states[int(d)], range(DEPTHS), text, **SETTINGS | {"seed": s}) for s in (3, 4)
    )
    xr.testing.assert_identical(again, found)
    assert other["accuracy"].equals(found["accuracy"]) and not other.equals(found)


def test_refinement_is_asked_for_by_epochs():
    # Label A lies about -20 and 0 and label B about 2: between their means, 0 is on the wrong side.
    rng = np.random.default_rng(0)
    text = as_dataset(rng.integers(VOCAB, size=(60, 20)).tolist())
    quarter = np.arange(text.sizes["token"]) % 4
    labels = np.where(quarter == 3, "B", "A").astype(object)
    names = [prefix + label for prefix in ("", "next_") for label in LABELS]
    text = text.assign_coords({name: ("token", labels) for name in names})
    place = np.array([-20, 0, 0, 2])[quarter][:, None] + 0.2 * rng.normal(size=(len(quarter), 2))
    states = torch.from_numpy(place).float()
    closed, refined = (
        analyse(lambda d: states, [0], text, **SETTINGS | {"epochs": e})["accuracy"].sel(
            target="input", label="tag"
        )
        for e in (0, 40)
    )
    assert float(closed[0]) < 0.85 < 0.97 < float(refined[0])


def test_what_cannot_be_analysed_is_refused():
    text, states = planted()
    for change in ({"resamples": 0}, {"interval": 1.0}, {"epochs": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(change))}="):
            analyse(lambda d: states[int(d)], range(2), text, **SETTINGS | change)
    text["next_role"][:] = ""
    with pytest.raises(ValueError, match="no token of the split"):
        analyse(lambda d: states[int(d)], range(2), text, **SETTINGS)
