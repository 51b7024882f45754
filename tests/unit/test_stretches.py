import re
from collections import Counter

import pytest

from strata.text.stretches import CHARACTERS, long_samples

BEGINNING = (1000,)
TEXTS = [f"document {i} has words {'and more ' * (i % 7)}" for i in range(400)]


def encode(texts):
    """A token a word, and one for a blank line."""
    words = {}
    return [[words.setdefault(w, hash(w)) for w in re.findall(r"\S+|\n\n", t)] for t in texts]


def test_a_sample_is_a_piece_of_the_text_as_it_stands():
    whole = encode(["\n\n".join(TEXTS)])[0]
    samples = long_samples(TEXTS, encode, 6, 50, 0, BEGINNING)
    assert len(samples) == 6 and {len(s) for s in samples} == {50}
    starts = []
    for sample in samples:
        assert sample[0] == 1000
        found = [i for i in range(len(whole)) if whole[i : i + 49] == sample[1:]]
        assert len(found) == 1
        starts += found
        assert whole[found[0]] == hash("document")
    starts.sort()
    assert all(later - earlier >= 49 for earlier, later in zip(starts, starts[1:], strict=False))
    assert starts[-1] - starts[0] > len(whole) / 4


def test_places_are_drawn_evenly():
    drawn = Counter()
    for seed in range(200):
        drawn.update(s[1] for s in long_samples(TEXTS, encode, 5, 50, seed))
    # What lies 5 or more standard deviations from the mean of a binomial count is no accident.
    expected = sum(drawn.values()) / len(drawn)
    assert len(drawn) > 20 and max(abs(n - expected) for n in drawn.values()) < 5 * expected**0.5


def test_a_draw_is_the_same_for_the_same_seed():
    draws = [long_samples(TEXTS, encode, 5, 50, seed) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_where_there_is_little_text_it_is_all_taken():
    assert long_samples(TEXTS, encode, 10_000, 50, 0) != []
    n_long = len("\n\n".join(TEXTS)) // (50 * CHARACTERS)
    assert 0.6 * n_long < len(long_samples(TEXTS, encode, 10_000, 50, 0)) <= n_long
    assert long_samples(["a b", "c"], encode, 5, 50, 0, BEGINNING) == [[1000, *encode(["a b\n\nc"])[0]]]
    with pytest.raises(ValueError, match="no text"):
        long_samples([], encode, 5, 50, 0)
