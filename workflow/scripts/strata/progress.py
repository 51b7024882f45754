"""How a long loop shows how far it has come: by default not at all."""

from collections.abc import Callable, Iterable

Progress = Callable[[Iterable, str], Iterable]
"""Given what a loop goes through and what these things are, returns them again."""


def silent(items: Iterable, what: str) -> Iterable:
    """Show nothing."""
    return items
