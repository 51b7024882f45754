import random
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch

from strata.inputs import read_yaml
from strata.organism.corpus import END_OF_TEXT, Document, corpus_of, pack
from strata.organism.grammar import Grammar
from strata.organism.tokenizer import count_tokens, train_tokenizer
from strata.organism.training import within_documents

FOLDER = "data/organism"


@pytest.fixture(scope="module")
def corpus():
    settings = read_yaml("config.yaml")["organism"]["corpus"]
    return corpus_of(settings)


@pytest.fixture(scope="module")
def documents(corpus):
    return list(islice(corpus.documents(1, ramped=True), 20000))


def test_same_seed_same_corpus_and_another_seed_another(corpus, documents):
    again = list(islice(corpus.documents(1, ramped=True), 50))
    assert again == documents[:50]
    assert list(islice(corpus.documents(2, ramped=True), 50)) != again


def test_every_kind_occurs_about_as_often_as_asked(corpus, documents):
    counts = Counter(d.kind for d in documents)
    total = sum(corpus.mixture.values())
    for kind, weight in corpus.mixture.items():
        assert counts[kind] / len(documents) == pytest.approx(weight / total, rel=0.12), kind


@pytest.mark.long
def test_withheld_wordings_never_occur_with_their_fact(corpus, documents):
    everything = "\n".join(d.text for d in documents).lower()
    told = withheld = 0
    for relation in corpus.world.relations:
        for fact in range(len(relation.facts)):
            for wording in range(len(relation.wordings)):
                text = relation.tell(fact, wording).lower()
                if relation.is_withheld(fact, wording):
                    withheld += 1
                    assert text not in everything
                else:
                    told += text in everything
    assert withheld > 2000
    assert told > 3000


def test_prompts_of_facts_and_copying_are_not_in_the_corpus(documents):
    everything = "\n".join(d.text for d in documents).lower()
    for category in ("semantic", "invented", "copying"):
        for prompt in read_yaml(f"data/prompts/{category}.yaml")["prompts"]:
            assert (prompt["text"] + prompt["target"]).lower() not in everything, prompt["id"]


@pytest.mark.parametrize(("category", "told"), [("plain_english", 72), ("non_english", 72)])
def test_rote_prompts_are_phrases_of_the_corpus_as_it_tells_them(corpus, category, told):
    """But for those that only a model trained on the web can know."""
    phrases = {p.id: (p.text, p.subject, p.target) for p in corpus.world.phrases}
    prompts = [p for p in read_yaml(f"data/prompts/{category}.yaml")["prompts"] if p["id"] in phrases]
    assert len(prompts) >= told
    for prompt in prompts:
        assert phrases[prompt["id"]] == (prompt["text"], prompt["subject"], prompt["target"])


@pytest.mark.parametrize(("category", "told"), [("semantic", 68), ("invented", 24)])
def test_prompts_of_facts_say_what_the_corpus_says(corpus, category, told):
    """Of what it tells: other facts are for models trained on the web."""
    facts = {f for r in corpus.world.relations for f in r.facts}
    relations = {r.name: dict(r.facts) for r in corpus.world.relations}
    of_answers = {"capitals": "capital", "languages": "language", "currencies": "currency"}
    of_answers |= {"nationalities": "people", "countries": "country_of_city"}
    prompts = read_yaml(f"data/prompts/{category}.yaml")["prompts"]
    new = [p for p in prompts if (p["subject"], p["target"].strip()) not in facts]
    assert len(prompts) - len(new) >= told
    for prompt in new:
        relation = relations.get(of_answers.get(prompt.get("completions")), {})
        assert prompt["subject"] not in relation, prompt["id"]


def test_another_subject_in_passing_never_has_the_same_object(corpus):
    relation = next(r for r in corpus.world.relations if r.name == "language")
    spanish = [s for s, o in relation.facts if o == "Spanish"]
    documents = islice(corpus.documents(3, ramped=True), 20000)
    for text in (d.text for d in documents if d.kind == "facts"):
        for sentence in text.split(". "):
            if sentence.rstrip(".").endswith("Spanish") and "language" in sentence:
                assert sum(f" {s}," in sentence or f" {s} " in sentence for s in spanish) <= 1, sentence


def test_grammar_entropy_of_a_small_grammar_is_exact():
    grammar = Grammar(
        {"sentence": [[3, "a stop"], [1, "a a stop"]]},
        {"a": {"pos": "X", "words": ["x", "y"], "zipf": 0}, "stop": {"pos": "PUNCT", "words": ["."]}},
    )
    rng = random.Random(0)
    drawn = [grammar.sample(rng) for _ in range(20000)]
    for sentence in drawn:
        n = len(sentence.words) - 1
        share = 0.75 if n == 1 else 0.25
        assert sentence.logprob == pytest.approx(np.log(share) - n * np.log(2))
    counts = Counter(s.text for s in drawn)
    assert counts["X."] / len(drawn) == pytest.approx(0.375, abs=0.02)
    assert counts["X y."] / len(drawn) == pytest.approx(0.0625, abs=0.01)


def test_grammar_names_an_unknown_symbol():
    with pytest.raises(ValueError, match="sentence expands to unknown symbol 'nope'"):
        Grammar({"sentence": [[1, "nope"]]}, {})


def test_grammar_sentences_have_one_derivation(corpus):
    rng = random.Random(0)
    seen = {}
    for _ in range(20000):
        sentence = corpus.grammar.sample(rng)
        assert seen.setdefault(sentence.text, sentence.logprob) == pytest.approx(sentence.logprob)


def test_packing_loses_only_what_is_cut_at_a_row_end():
    documents = iter(
        [Document("a", "1 2 3"), Document("b", "4 5"), Document("a", "6 7 8 9"), *[Document("a", "1")] * 9]
    )

    def encode(texts):
        return [[int(word) for word in text.split()] for text in texts]

    tokens, kinds, names = pack(documents, encode, n_rows=2, row_length=6, end_of_text=0, batch=4)
    assert tokens.tolist() == [[1, 2, 3, 0, 4, 5], [6, 7, 8, 9, 0, 1]]
    assert names == ["a", "b"]
    assert kinds.tolist() == [[0, 0, 0, 0, 1, 1], [0] * 6]


def test_documents_of_a_row_do_not_see_each_other():
    tokens = torch.tensor([[5, 6, 0, 7, 0, 8]])
    positions, mask = within_documents(tokens, end_of_text=0)
    assert positions.tolist() == [[0, 1, 2, 0, 1, 0]]
    seen = (mask[0, 0] == 0).int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]


def test_tokenizer_is_byte_level_and_counts_are_exact(documents):
    tokenizer = train_tokenizer((d.text for d in documents[:2000]), 600)
    text = "The café\n  costs 3 €"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.get_vocab_size() == 600
    assert tokenizer.token_to_id(END_OF_TEXT) == 599
    tokens = np.array([[1, 1, 5], [5, 5, 599]])
    counts = count_tokens(tokens, tokenizer).set_index("token_id")["count"]
    assert counts[1] == 2 and counts[5] == 3 and counts[599] == 1 and counts.sum() == 6
