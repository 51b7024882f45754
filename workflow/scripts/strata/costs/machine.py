"""How fast machines are: this one, by a short measurement, and graphics cards, by what is published."""

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from strata.costs.cost import Cost

CALL = 3e-4
"""Seconds that a call takes on one core of the machine of docs/costs.md, however little it does."""

INTERPRETED = 0.029
"""Seconds that `_interpret` takes there."""


@dataclass(frozen=True)
class Machine:
    """What a machine does in a second where all its cores are at work, as in a run.

    ``products``: operations of products of float32. ``values``: numbers gone over (exponentials of them).
    ``disk``: bytes written. ``pace``: how long interpreted work takes, by how long it takes on the machine of
    docs/costs.md.
    """

    cores: int
    products: float
    values: float
    disk: float
    pace: float = 1

    def seconds(self, cost: Cost, processors: int = 1) -> float:
        """How long work takes on so many of the cores, or on all where there are fewer."""
        share = min(1, processors / self.cores)
        waiting = self.pace * (cost.seconds + CALL * cost.calls)
        working = cost.operations / self.products + cost.values / self.values
        return waiting + working / share + cost.disk / self.disk


REFERENCE = Machine(cores=2, products=80e9, values=4.4e9, disk=5e8)
"""The machine of docs/costs.md: two cores of a server's processor."""

SIDE = 2048
"""Rows and columns of the matrices that are multiplied: more than a cache has room for, as of a model's."""

REACHED = 0.6
"""Of the rate of a large product, what a model's products reach: many have few rows."""


def measure(folder: Path = Path()) -> Machine:
    """This machine, in about two seconds; ``folder`` is on the disk that is meant."""
    import numpy as np
    import torch
    from threadpoolctl import threadpool_limits

    from strata.products import product

    cores = len(os.sched_getaffinity(0))
    left, right = torch.randn(2, SIDE, SIDE)
    values = np.linspace(-1, 1, 2**18, dtype=np.float32)
    powers = [np.empty_like(values) for _ in range(cores)]
    with ThreadPoolExecutor(cores) as pool, threadpool_limits(cores):
        return Machine(
            cores=cores,
            products=REACHED * 2 * SIDE**3 / _quickest(lambda: product(left, right), 0.5),
            values=cores
            * len(values)
            / _quickest(lambda: [*pool.map(np.exp, [values] * cores, powers)], 0.3),
            disk=_written(folder),
            pace=_quickest(_interpret, 0.3) / INTERPRETED,
        )


def _quickest(work: Callable[[], object], seconds: float) -> float:
    """Seconds that work takes when nothing disturbs it, tried for so long and at least twice."""
    began, times = time.perf_counter(), []
    while len(times) < 2 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def _interpret() -> int:
    counted: dict[int, int] = {}
    for number in range(400_000):
        counted[number % 97] = counted.get(number % 97, 0) + number
    return sum(counted.values())


def _written(folder: Path, n_bytes: int = 2**27) -> float:
    """Bytes a second that are written to the disk, and are there."""
    block = os.urandom(2**22)
    with TemporaryFile(dir=folder) as file:
        start = time.perf_counter()
        for _ in range(n_bytes // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return n_bytes / (time.perf_counter() - start)


# Graphics cards -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Card:
    """A graphics card, by its maker's data sheet.

    ``products``: operations of dense products in a second, by the type of numbers; float32 without TF32, as
    torch multiplies by default. ``bandwidth``: bytes in a second from and to its memory, of ``memory`` bytes.
    """

    products: Mapping[str, float]
    bandwidth: float
    memory: float

    def seconds(self, cost: Cost, dtype: str, pace: float = 1) -> float:
        """How long work takes on it that a machine of such a pace gives it."""
        products = EFFICIENCY * self.products["float32" if dtype == "float32" else "bfloat16"]
        moved = 3 * 4 * cost.values / self.bandwidth
        waiting = pace * (cost.seconds + LAUNCHES * CALL * cost.calls)
        return waiting + cost.operations / products + moved


def _card(float32: float, bfloat16: float, bandwidth: float, memory: float) -> Card:
    return Card({"float32": float32 * 1e12, "bfloat16": bfloat16 * 1e12}, bandwidth * 1e9, memory * 1e9)


CARDS = {
    "T4": _card(8.1, 65, 320, 16),
    "RTX 4090": _card(82.6, 165.2, 1008, 24),
    "A100 80GB": _card(19.5, 312, 2039, 80),
    "H100": _card(67, 989, 3350, 80),
    "H200": _card(67, 989, 4800, 141),
}
"""NVIDIA's data sheets: T4 (2019; float16, it has no bfloat16), Ada GPU architecture (2022), A100 80GB SXM
(2021), H100 SXM (2023), H200 SXM (2024). Dense rates: sheets state twice as much with sparsity."""

EFFICIENCY = 0.5
"""Of a card's rate that products reach: an assumption."""

LAUNCHES = 3
"""How many times as long a call takes that gives a card its work, where it alone gives the card work."""
