"""What goes through a model together goes in smaller parts where memory runs out."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class Fitting:
    """Does things together, as many as memory has room for, and from then on no more than these.

    Parameters
    ----------
    what : str
        The things, for the log.
    """

    def __init__(self, what: str):
        self._what = what
        self._at_most: int | None = None

    def __call__(
        self, do: Callable[[Sequence[T]], R], things: Sequence[T]
    ) -> Iterator[tuple[Sequence[T], R]]:
        """Yields things, some at a time and in their order, with what became of them.

        Raises
        ------
        RuntimeError, MemoryError
            If one thing alone has no room, and whatever ``do`` raises otherwise.
        """
        while things:
            some = things[: self._at_most]
            if (done := self._tried(do, some)) is not None:
                yield some, done
                things = things[len(some) :]

    def _tried(self, do: Callable[[Sequence[T]], R], some: Sequence[T]) -> R | None:
        try:
            return do(some)
        except (MemoryError, RuntimeError) as error:
            if len(some) == 1 or not _ran_out(error):
                raise
        # Only now is what the error held free.
        self._at_most = len(some) // 2
        logging.warning("memory ran out: %s go %d at a time, not %d", self._what, self._at_most, len(some))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None


def _ran_out(error: Exception) -> bool:
    # On the CPU, torch says so in words only.
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error)
