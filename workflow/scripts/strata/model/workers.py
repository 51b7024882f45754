"""Threads that run one model side by side, each on work of its own.

A product of a few hundred rows gains less from a second core than a second product beside it, and what is
between products gains nothing. Hooks hang on modules: each thread has modules of its own, whose weights are
the same tensors.
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


class Workers:
    """Does things to a model, as many at a time as torch has threads; one where they would not be faster.

    See `working`, which makes one.
    """

    def __init__(self, every: Sequence[Parts], pool: ThreadPoolExecutor | None):
        self.n = len(every)
        self._pool = pool
        self._free: SimpleQueue[Parts] = SimpleQueue()
        for parts in every:
            self._free.put(parts)

    def map(self, do: Callable[[Parts, T], R], things: Sequence[T]) -> Iterator[R]:
        """What ``do`` makes of each, in their order, given parts that no other thread has meanwhile."""

        def done(thing: T) -> R:
            parts = self._free.get()
            try:
                return do(parts, thing)
            finally:
                self._free.put(parts)

        def alone(thing: T) -> R:
            torch.set_num_threads(1)
            with torch.inference_mode():
                return done(thing)

        return map(done, things) if self._pool is None else self._pool.map(alone, things)


@contextmanager
def working(parts: Parts) -> Iterator[Workers]:
    """Workers, while open; torch's own threads are what they were afterwards."""
    n = torch.get_num_threads()
    if n == 1 or not _on_cpu(parts):
        yield Workers([parts], None)
        return
    with ThreadPoolExecutor(n) as pool:
        try:
            yield Workers([_again(parts) for _ in range(n)], pool)
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(n)


def _on_cpu(parts: Parts) -> bool:
    """Whether all of a model is in memory."""
    return all(each.device.type == "cpu" for each in parts.model.parameters())


def _again(parts: Parts) -> Parts:
    """The same weights in other modules."""
    weights = chain(parts.model.parameters(), parts.model.buffers())
    return find_parts(deepcopy(parts.model, {id(each): each for each in weights}))
