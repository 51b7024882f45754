"""The dip by its definition: the nearest distribution with one mode, found by linear programming."""

import numpy as np
from scipy.optimize import linprog


def dip(values) -> float:
    """Smallest over all places of the mode; numbers must differ. There may be a jump at the mode."""
    x = np.sort(np.asarray(values, float))
    return min(_with_mode(x, mode) for mode in range(len(x)))


def _with_mode(x: np.ndarray, mode: int) -> float:
    """Unknowns: the distribution at x, left of the jump at the mode and right of it, and the distance."""
    n = len(x)
    left, right = list(range(mode + 1)), [n, *range(mode + 1, n)]  # unknown n is the jump's right side
    distance = n + 1
    rows, bounds = [], []

    def at_most(terms: dict[int, float], bound: float) -> None:
        row = np.zeros(n + 2)
        for unknown, factor in terms.items():
            row[unknown] += factor
        rows.append(row)
        bounds.append(bound)

    def near(unknown: int, share: float) -> None:
        at_most({unknown: 1, distance: -1}, share)
        at_most({unknown: -1, distance: -1}, -share)

    for i in range(n):
        near(i, i / n)  # below the step
        near(n if i == mode else i, (i + 1) / n)  # above it
    at_most({mode: 1, n: -1}, 0)  # the jump goes up
    for side, sign in ((left, 1), (right, -1)):
        places = x[: mode + 1] if sign == 1 else x[mode:]
        for a, b in zip(side, side[1:], strict=False):
            at_most({a: 1, b: -1}, 0)
        for k in range(len(side) - 2):
            a, b, c = side[k : k + 3]
            first, second = places[k + 1] - places[k], places[k + 2] - places[k + 1]
            # slope before <= slope after, or the other way round
            at_most(
                {
                    b: sign * (1 / first + 1 / second),
                    a: -sign / first,
                    c: -sign / second,
                },
                0,
            )
    cost = np.zeros(n + 2)
    cost[distance] = 1
    solved = linprog(cost, np.array(rows), np.array(bounds), bounds=[(0, 1)] * (n + 1) + [(0, None)])
    return float(solved.fun)
