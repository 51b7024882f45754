"""Shares of prompts: whole groups of them, which are the same however many shares there are.

No array library is imported here: the rules ask for this at every start of the pipeline.
"""

from dataclasses import dataclass

GROUP = 64
"""Prompts that are traced together, at most; no shard is made of fewer."""


def name_of(number: int, of: int) -> str:
    """The name of a shard, ``0007-of-1000``."""
    return f"{number:04}-of-{of}"


@dataclass(frozen=True)
class Share:
    """One of so many shares of what there is, whole groups of it; ``number`` from 0."""

    number: int = 0
    of: int = 1

    @classmethod
    def named(cls, name: str | None) -> "Share":
        """Of a shard's name, see `name_of`; without one: everything."""
        return cls(*map(int, name.split("-of-"))) if name else cls()

    def rows(self, n: int, size: int) -> range:
        """Which of ``n`` rows, in groups of ``size``: nearly as many groups in each share, perhaps none."""
        n_groups = -(-n // size)
        first, end = (number * n_groups // self.of for number in (self.number, self.number + 1))
        return range(min(n, first * size), min(n, end * size))


ALL = Share()
