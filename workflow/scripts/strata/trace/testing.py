"""Tables of tests on transition depths, and how the tests draw.

A prompt is the unit: its transition depth is a number, estimated from all its noise samples, and
intervals come from drawing prompts again. A prompt without a transition has no number: it is counted
by the reason why, and takes no part. Noise levels are tested one by one. All p values are for one
test, not corrected for the number of tests.

Results are tidy tables of `COLUMNS`: ``test``, ``noise``, ``group``, ``statistic``, ``value`` with its
interval ``low``, ``high``, ``p``, ``n`` (what was counted: prompts or pairs), ``unit``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from strata.names import NOISE
from strata.stats.bootstrap import Bootstrap
from strata.stats.seeding import generator
from strata.trace.confounders import TRANSITION

COLUMNS = ["test", "noise", "group", "statistic", "value", "low", "high", "p", "n", "unit"]
BATCH = 500  # resamples or permutations at once


@dataclass(frozen=True)
class Resampling:
    """How often prompts are drawn again and labels permuted, the intervals' coverage, and the seed.

    Every test draws from its own stream, which depends on the seed and the test's names: a test more, or
    a noise level more, changes no other.
    """

    n_resamples: int
    n_permutations: int
    interval: float
    seed: int

    def generator(self, *names: str) -> np.random.Generator:
        """Random numbers of one test."""
        return generator(self.seed, *names)

    def ends(self, statistic: Callable, groups: Sequence[np.ndarray], *names: str) -> np.ndarray:
        """The interval's ends of a statistic of independent groups; NaN where one has fewer than two."""
        if min(map(len, groups)) < 2:
            return np.full(2, np.nan)
        bootstrap = Bootstrap(self.n_resamples, self.interval, self.seed, BATCH)
        return bootstrap.of(*names, "interval").ends(statistic, *groups)


def present(order: Sequence[str], categories: Iterable[str]) -> list[str]:
    """The categories of an expected order that there are, from the earliest transition to the latest.

    With fewer than two there is nothing to compare.
    """
    there = set(categories)
    return [category for category in order if category in there]


def with_transition(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Every noise level with the rows that have a transition."""
    for level, part in table.groupby(NOISE, sort=False):
        yield level, part[part[TRANSITION].notna()]


def row(
    test: str,
    noise: str,
    group: str,
    statistic: str,
    value: float,
    low: float = np.nan,
    high: float = np.nan,
    p: float = np.nan,
    n: int = 0,
    unit: str = "",
) -> dict[str, object]:
    """One row of a table."""
    values = (test, noise, group, statistic, float(value), float(low), float(high), float(p), n, unit)
    return dict(zip(COLUMNS, values, strict=True))


def table_of(rows: Sequence[Mapping]) -> pd.DataFrame:
    """Rows, perhaps none, as a table of `COLUMNS`."""
    return pd.DataFrame(rows, columns=COLUMNS)
