"""Tables of tests on transition depths, and how the tests draw.

A fact is the unit: what its prompts have in common would otherwise count as often as it is asked. Its value
is the mean over its prompts, of transition depths, or of their ranks among all that are compared. By rank a
final token that never overtakes comes after every depth, and one that is ahead from the start before all;
means leave both out, and say how many they are. Noise levels are tested one by one, and p values are
two-sided.

Results are tidy tables of `COLUMNS`: ``test``, ``noise``, ``group``, ``statistic``, ``value`` with its
interval ``low``, ``high``, ``p``, ``p_adjusted`` for all tests of its ``family``, ``n`` (what was counted:
facts, prompts or pairs), ``unit``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from strata.names import CATEGORY, FACT, NOISE
from strata.stats.bootstrap import Bootstrap
from strata.stats.many_tests import above_zero, adjusted
from strata.stats.seeding import generator
from strata.stats.thresholds import enough
from strata.trace.confounders import PLACE, TRANSITION

COLUMNS = ["test", "noise", "group", "statistic", "value", "low", "high", "p", "n", "unit"]
CORRECTED = [*COLUMNS[:8], "p_adjusted", "family", *COLUMNS[8:]]
BATCH = 500  # resamples or permutations at once, of at most so many values:
BATCH_VALUES = 250_000


def batch_of(n: int) -> int:
    """How many resamples or permutations of ``n`` facts are held at once."""
    return min(BATCH, max(1, BATCH_VALUES // max(1, n)))


@dataclass(frozen=True)
class Resampling:
    """How often facts are drawn again and labels permuted, the intervals' coverage, and the seed.

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
        """The interval's ends of a statistic of independent groups; NaN where one has few units."""
        if not enough(min(map(len, groups))):
            return np.full(2, np.nan)
        batch = batch_of(sum(map(len, groups)))
        bootstrap = Bootstrap(self.n_resamples, self.interval, self.seed, batch)
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


def by_fact(part: pd.DataFrame, column: str) -> dict[str, np.ndarray]:
    """Values of each category's facts, (fact): means of ``column`` over the prompts that have one."""
    known = part[part[column].notna()]
    means = known.groupby([CATEGORY, FACT], sort=False)[column].mean()
    return {category: each.to_numpy() for category, each in means.groupby(CATEGORY, sort=False)}


def ranks_by_fact(part: pd.DataFrame) -> dict[str, np.ndarray]:
    """`by_fact` of the prompts' ranks by `PLACE` among all in ``part``."""
    return by_fact(part.assign(rank=part[PLACE].rank()), "rank")


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


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """The same with `CORRECTED` columns: p for all tests of one statistic in one kind of test together.

    Corrected as `strata.stats.many_tests.adjusted` does.
    """
    table = table.assign(p=above_zero(table["p"]), p_adjusted=np.nan, family="")
    tested = table[table["p"].notna()]
    for (test, statistic), part in tested.groupby(["test", "statistic"], sort=False):
        (p,), told = adjusted(part["p"])
        table.loc[part.index, "p_adjusted"] = p
        table.loc[part.index, "family"] = f"{test}, {statistic}: {told}"
    return table[CORRECTED]
