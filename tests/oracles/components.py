"""Separation, its error and variance between classes in plain loops."""

import numpy as np

from oracles.frequency import ranks


def auc(scores, flag) -> float:
    """The share of pairs (one with, one without) in which the one with scores higher."""
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[flag] for b in scores[~flag]]
    return float(np.mean(pairs))


def auc_error(scores, flag) -> float:
    """DeLong's standard error, from every token's own share of pairs."""
    wins = np.array([[(a > b) + 0.5 * (a == b) for b in scores[~flag]] for a in scores[flag]])
    sides = wins.mean(1), wins.mean(0)
    return float(np.sqrt(sum(np.var(side, ddof=1) / len(side) for side in sides)))


def eta_squared(scores, classes) -> float:
    """Share of the variance of ranks between classes."""
    rank = np.array(ranks(scores))
    between = sum(
        (classes == name).sum() * (rank[classes == name].mean() - rank.mean()) ** 2 for name in set(classes)
    )
    return float(between / ((rank - rank.mean()) ** 2).sum())


def cosines(rows) -> list[float]:
    """Of all pairs, each once."""
    return [float(a @ b / np.sqrt((a @ a) * (b @ b))) for i, a in enumerate(rows) for b in rows[i + 1 :]]
