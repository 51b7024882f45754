"""How a long loop shows how far it has come: by default not at all."""

from collections.abc import Iterable, Sized
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Given what a loop goes through and what these things are, returns them again."""

    def __call__(self, items: Iterable[T], what: str, /) -> Iterable[T]: ...


def silent(items: Iterable[T], what: str) -> Iterable[T]:
    """Show nothing."""
    return items


def bar(items: Iterable[T], what: str) -> Iterable[T]:
    """Show a bar while the loop runs, which goes away with it."""
    from tqdm import tqdm

    shown: Iterable[T] = tqdm(items, desc=what, leave=False)
    return shown


def nested(progress: Progress, steps: Sized) -> tuple[Progress, Progress]:
    """What shows a loop over ``steps``, and what the loop inside: a single step is shown from within."""
    return (progress, silent) if len(steps) > 1 else (silent, progress)
