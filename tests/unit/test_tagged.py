import random
from collections import Counter
from itertools import islice

import pytest
from tokenizers import Tokenizer

from strata.inputs import BadInput, read_lines, read_yaml
from strata.organism.corpus import Document, corpus_of
from strata.organism.grammar import Grammar
from strata.organism.tagging import corpus_documents, derivation, tag_document
from strata.text.conllu import read_conllu
from strata.text.documents import documents_of
from strata.text.tagged import label_tokens, sample
from strata.text.words import LABELS, Tagged, Word, roles

TOKENIZER = Tokenizer.from_file("data/models/organism/tokenizer.json")


@pytest.fixture(scope="module")
def corpus():
    return corpus_of(read_yaml("config.yaml")["organism"]["corpus"])


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
        ("4\t!", "no tabs\n4\t!", "sentence 2, line 21: 1 columns (expected: 10, between tabs)"),
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
    with pytest.raises(BadInput, match=r"latin.conllu: line \d+, byte \d+ \(0x..\): not UTF-8"):
        list(read_conllu(read_lines(path), "latin.conllu"))


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
    with pytest.raises(BadInput, match="the text: 2 different sentences of two tokens or more"):
        sample([*documents[:2], Tagged("a")], encode, 50, 30, seed=0)
