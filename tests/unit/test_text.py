from collections import Counter

import numpy as np
import pytest

from strata.inputs import BadInput
from strata.text import documents as text

WORDS = {word: i for i, word in enumerate("abcdefghij")}


def encode(texts):
    return [[WORDS[word] for word in t.split()] for t in texts]


def test_everything_is_counted_and_few_documents_are_kept():
    texts = ["a b", "c", "a b", "d e f", "g h", "i j a b c"]
    documents, counts = text.sample(texts, encode, 100, 3, len(WORDS), 0)
    expected = Counter(i for t in texts for i in encode([t])[0])
    assert counts.tolist() == [expected[i] for i in range(len(WORDS))]
    # What is said twice is one document, one token is none, and long ones are cut.
    assert sorted(documents) == sorted(encode(["a b", "d e f", "g h", "i j a"]))


def test_documents_are_drawn_evenly():
    texts = [f"{x} {y}" for x in WORDS for y in WORDS]
    drawn = Counter()
    for seed in range(300):
        documents, _ = text.sample(texts, encode, 10, 9, len(WORDS), seed)
        assert len(documents) == 10
        drawn.update(tuple(document) for document in documents)
    counts = np.array([drawn[tuple(d)] for d in encode(texts)])
    # 300 draws with chance 1/10: 30 ± 5.2 each.
    assert counts.mean() == 30 and counts.min() > 8 and counts.max() < 56 and 3.5 < counts.std() < 7.5


def test_a_draw_is_the_same_for_the_same_seed():
    texts = [f"{x} {y}" for x in WORDS for y in WORDS]
    draws = [text.sample(texts, encode, 10, 9, len(WORDS), seed)[0] for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_too_little_text():
    with pytest.raises(BadInput, match="x.txt: 2 different documents of two tokens or more"):
        text.sample(["a b", "c d", "e", "a b"], encode, 10, 9, len(WORDS), 0, "x.txt")


@pytest.mark.parametrize("n", [3, 4, 10, 1000])
def test_splits_part_documents_not_tokens(n):
    documents = [[i % 7] * (1 + i % 5) for i in range(n)]
    dataset = text.as_dataset(documents)
    shares = {split: text.documents_of(dataset, split) for split in text.SPLITS}
    assert [d for split in shares.values() for d in split] == documents == text.documents_of(dataset)
    assert all(shares.values())
    expected = {3: [1, 1, 1], 4: [2, 1, 1], 10: [7, 1, 2], 1000: [700, 150, 150]}
    assert [len(d) for d in shares.values()] == expected[n]


def test_next_tokens_stop_at_a_documents_end():
    dataset = text.as_dataset([[1, 2, 3], [4], [5, 6]])
    assert text.next_in_document(dataset).tolist() == [2, 3, -1, -1, 6, -1]
