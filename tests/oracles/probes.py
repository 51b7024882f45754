"""What `strata.probes` and `strata.lens.repurposing` compute, token by token and from definitions."""

from collections import Counter

import numpy as np


def unseen_contexts(train, test):
    begun = {tuple(document[:end]) for document in train for end in range(1, len(document) + 1)}
    return [tuple(document[:end]) not in begun for document in test for end in range(1, len(document) + 1)]


def baselines(train_labels, test_labels):
    """Accuracy of always saying the most frequent label, of guesses by frequency; share never trained."""
    counts = Counter(train_labels)
    top = max(sorted(counts), key=counts.get)
    n = len(test_labels)
    return {
        "most_frequent": sum(label == top for label in test_labels) / n,
        "chance": sum(counts[label] / len(train_labels) for label in test_labels) / n,
        "unknown_share": sum(label not in counts for label in test_labels) / n,
    }


def bootstrap_accuracy(right, documents, resamples, interval, seed):
    """Bounds for one row of right answers: documents said as often as drawn, tokens counted again."""
    names = sorted(set(documents))
    tokens = {name: [r for r, d in zip(right, documents, strict=True) if d == name] for name in names}
    rng = np.random.default_rng(seed)
    means = []
    for times in rng.multinomial(len(names), [1 / len(names)] * len(names), size=resamples):
        said = [r for name, n in zip(names, times, strict=True) for r in tokens[name] * n]
        means.append(sum(said) / len(said))
    return np.quantile(means, [(1 - interval) / 2, (1 + interval) / 2])


def along(state, embeddings):
    """Energy of one state in the span of embeddings (by least squares), and its mean cosine with them."""
    coefficients = np.linalg.lstsq(embeddings.T, state, rcond=None)[0]
    inside = embeddings.T @ coefficients
    cosines = [e @ state / np.linalg.norm(e) / np.linalg.norm(state) for e in embeddings]
    return inside @ inside / (state @ state), np.mean(cosines)


def mean_over_prompts(values, prompts):
    by_prompt = {}
    for value, prompt in zip(values, prompts, strict=True):
        by_prompt.setdefault(prompt, []).append(value)
    return np.mean([np.mean(group) for group in by_prompt.values()])
