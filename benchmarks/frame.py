"""What benchmarks share: engine and reference in turns, peaks of memory, the machine's own rates, rows."""

import ctypes
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.backends import mkldnn

from strata.products import product

LARGE, LARGE_ON_GPU = 2048, 8192
"""Rows and columns of the matrices whose product is the measure of the machine."""

ON_DISK = 2**28
"""Bytes written to measure the disk."""


@dataclass(frozen=True)
class Row:
    """A row of the table: a ratio, the bound it must keep and the one it aims at, ``>= 9`` or ``<= 1.4``."""

    engine: str
    shape: str
    reference: str
    ratio: float
    must: str = ""
    aim: str = ""

    @property
    def met(self) -> str:
        """``aim`` if that is reached, ``must`` if only that is, or ``no``; empty where nothing must be."""
        if not self.must:
            return ""
        reached = [name for name in ("must", "aim") if self._within(getattr(self, name))]
        return reached[-1] if reached else "no"

    def _within(self, bound: str) -> bool:
        if not bound:
            return False
        way, limit = bound.split()
        return self.ratio >= float(limit) if way == ">=" else self.ratio <= float(limit)


class Turns:
    """Seconds of several functions, called in turns: what else the machine does hits all of them alike."""

    def __init__(self, functions: Mapping[str, Callable[[], object]], rounds: int):
        self.seconds: dict[str, list[float]] = {name: [] for name in functions}
        for turn in range(rounds + 1):
            for name, function in functions.items():
                began = time.perf_counter()
                function()
                if torch.cuda.is_initialized():  # what is still being computed there is waited for
                    torch.cuda.synchronize()
                if turn:  # the first round warms up
                    self.seconds[name].append(time.perf_counter() - began)

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, to: str) -> float:
        """The median over rounds of how many times the seconds of ``to`` the other takes."""
        pairs = zip(self.seconds[name], self.seconds[to], strict=True)
        return statistics.median(one / other for one, other in pairs)


@contextmanager
def without_strata() -> Iterator[None]:
    """While open, products are torch's own: a model does what it would without Strata."""
    was, *_ = mkldnn.set_flags(False)
    try:
        yield
    finally:
        mkldnn.set_flags(was)


class Peak:
    """The most anonymous memory held while it is open, beyond what was held before; bytes. Linux."""

    def __enter__(self) -> "Peak":
        ctypes.CDLL(None).malloc_trim(0)  # what is free but kept would be used again unseen
        self._open, self._before = True, _anonymous()
        self.bytes = 0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while self._open:
            self.bytes = max(self.bytes, _anonymous() - self._before)
            time.sleep(0.005)

    def __exit__(self, *_error) -> None:
        self._open = False
        self._thread.join()


def _anonymous() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


class Gemm:
    """A large float32 product by what is fastest here; called, it runs for about so many seconds."""

    def __init__(self, device: torch.device, seconds: float = 0.0):
        self._size = LARGE if device.type == "cpu" else LARGE_ON_GPU
        self._factors = torch.randn(2, self._size, self._size, device=device)
        self._times = 1
        began = Turns({"product": self}, 3).median("product")
        self._times = max(1, round(seconds / began))

    def __call__(self) -> None:
        for _ in range(self._times):
            product(*self._factors)

    @property
    def operations(self) -> float:
        """Of one call."""
        return 2.0 * self._size**3 * self._times


def gemm_rate(device: torch.device, rounds: int = 7) -> float:
    """Operations a second of a large float32 product, on all threads or a GPU."""
    gemm = Gemm(device)
    return gemm.operations / Turns({"product": gemm}, rounds).median("product")


def disk_rate(rounds: int = 3) -> float:
    """Bytes a second of a file written and brought to disk, where temporary files lie."""
    block = os.urandom(ON_DISK)
    with tempfile.TemporaryFile(buffering=0) as file:

        def write() -> None:
            file.seek(0)
            file.write(block)
            os.fsync(file.fileno())

        return ON_DISK / Turns({"write": write}, rounds).median("write")
