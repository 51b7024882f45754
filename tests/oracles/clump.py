"""Crowded places, and counts in them, in plain loops."""

import math


def least_reach(plane, tokens: int) -> float:
    """The smallest distance from a token to the so-manieth, itself counted."""
    return min(sorted(math.dist(a, b) for b in plane)[tokens - 1] for a in plane)


def most_within(plane, inside, radius: float) -> int:
    """The most tokens within a radius of one of some tokens, itself counted."""
    chosen = [a for a, flag in zip(plane, inside, strict=True) if flag]
    return max(sum(math.dist(a, b) <= radius for b in plane) for a in chosen)


def share_that_occurs_more_often(count, inside) -> float:
    """Mean over the tokens inside of the share of all other tokens that occur more often; ties half."""
    shares = []
    for i, flag in enumerate(inside):
        if flag:
            others = [c for j, c in enumerate(count) if j != i]
            more = sum(c > count[i] for c in others) + sum(c == count[i] for c in others) / 2
            shares.append(more / len(others))
    return sum(shares) / len(shares)
