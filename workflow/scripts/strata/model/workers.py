"""Threads that run one model side by side, each on work of its own.

A product of a few hundred rows gains less from a second core than a second product beside it, and what is
between products gains nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from itertools import chain
from queue import SimpleQueue
from typing import TypeVar

import torch

from strata.model.architecture import Parts, find_parts

T = TypeVar("T")
R = TypeVar("R")


class Threads:
    """Does things, as many at a time as torch has threads; one after the other where that is as fast.

    See `threads`, which makes one.
    """

    def __init__(self, n: int, pool: ThreadPoolExecutor | None):
        self.n = n
        self._pool = pool

    def map(self, do: Callable[[T], R], things: Sequence[T]) -> Iterator[R]:
        """What ``do`` makes of each, in their order, in inference mode if that is on here."""
        if self._pool is None:
            return map(do, things)
        inference = torch.is_inference_mode_enabled()

        def alone(thing: T) -> R:
            torch.set_num_threads(1)
            with torch.inference_mode(inference):
                return do(thing)

        return self._pool.map(alone, things)


@contextmanager
def threads(parts: Parts) -> Iterator[Threads]:
    """Threads for a model, while open; torch's own are what they were afterwards."""
    n = torch.get_num_threads()
    if n == 1 or not _on_cpu(parts):
        yield Threads(1, None)
        return
    with ThreadPoolExecutor(n) as pool:
        try:
            yield Threads(n, pool)
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(n)


class Workers:
    """Threads with a model each, since hooks hang on modules: modules of their own, with the same weights.

    See `working`, which makes one.
    """

    def __init__(self, apart: Threads, every: Sequence[Parts]):
        self.n = apart.n
        self._threads = apart
        self._free: SimpleQueue[Parts] = SimpleQueue()
        for parts in every:
            self._free.put(parts)

    def map(self, do: Callable[[Parts, T], R], things: Sequence[T]) -> Iterator[R]:
        """As `Threads.map`, where ``do`` is given parts too that no other thread has meanwhile."""

        def done(thing: T) -> R:
            parts = self._free.get()
            try:
                return do(parts, thing)
            finally:
                self._free.put(parts)

        return self._threads.map(done, things)


@contextmanager
def working(parts: Parts) -> Iterator[Workers]:
    """Workers, while open."""
    with threads(parts) as apart:
        every = [parts] if apart.n == 1 else [_again(parts) for _ in range(apart.n)]
        yield Workers(apart, every)


def _on_cpu(parts: Parts) -> bool:
    """Whether all of a model is in memory."""
    return all(each.device.type == "cpu" for each in parts.model.parameters())


def _again(parts: Parts) -> Parts:
    """The same weights in other modules."""
    weights = chain(parts.model.parameters(), parts.model.buffers())
    return find_parts(deepcopy(parts.model, {id(each): each for each in weights}))
