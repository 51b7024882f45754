"""A short form of benchmarks/bench_coverage.py: four standard errors of few trials below 93 %."""

import numpy as np
import pytest

from oracles.coverage import INTERVALS, LEAST, coverage, size_of_order_test
from oracles.transitions import ORDER

pytestmark = pytest.mark.long

TRIALS = {"distance of two groups": 25}  # of others 100


@pytest.mark.parametrize("kind", INTERVALS)
def test_intervals_cover_what_they_say(kind):
    trials = TRIALS.get(kind, 100)
    assert coverage(INTERVALS[kind], LEAST[kind], trials) > 0.93 - 4 * np.sqrt(0.95 * 0.05 / trials)


OF_ANY_NUMBER = {"regression coefficient", "area under the curve, DeLong", "band of curves, all depths"}


def test_fewer_units_have_no_interval():
    for kind, covers in INTERVALS.items():
        if kind not in OF_ANY_NUMBER:
            assert coverage(covers, LEAST[kind] - 1, 3) == 0, kind


def test_the_test_of_order_is_wrong_as_often_as_it_says():
    pairs = np.repeat(np.arange(25), 2).astype(str)
    facts = {ORDER[0]: np.arange(40).astype(str), ORDER[1]: np.arange(35).astype(str), ORDER[2]: pairs}
    facts = {category: np.char.add(category, names) for category, names in facts.items()}
    assert size_of_order_test(facts, 200) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 200)
