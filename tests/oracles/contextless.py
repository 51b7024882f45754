"""What `strata.lens.contextless` computes, pair by pair and token by token, from definitions."""

from collections import Counter

import numpy as np


def unigram(pairs, vocab):
    """P(next), Witten and Bell over the uniform distribution."""
    count = Counter(after for _, after in pairs)
    return np.array([(count[w] + len(count) / vocab) / (len(pairs) + len(count)) for w in range(vocab)])


def bigram(pairs, vocab, token):
    """P(next | token), Witten and Bell over the unigram distribution."""
    count = Counter(after for before, after in pairs if before == token)
    base = unigram(pairs, vocab)
    if not count:
        return base
    whole = sum(count.values()) + len(count)
    return np.array([(count[w] + len(count) * base[w]) / whole for w in range(vocab)])


def kl(reference, logits):
    """KL(reference ‖ softmax of logits), nat."""
    readout = np.exp(logits - logits.max())
    readout /= readout.sum()
    return sum(p * np.log(p / q) for p, q in zip(reference, readout, strict=True) if p > 0)


def pairs_of(ids, document):
    """Neighbours within documents: (index of the first, token, next token)."""
    inside = [i for i in range(len(ids) - 1) if document[i] == document[i + 1]]
    return [(i, ids[i], ids[i + 1]) for i in inside]
