"""What a piece of work takes, whatever it runs on."""

from dataclasses import astuple, dataclass, replace


@dataclass(frozen=True)
class Cost:
    """What a piece of work takes.

    ``tokens``: that go through the model, each version of a text by itself, as if through all blocks.
    ``passes``: texts, or versions of them, that do, from whatever depth on. ``operations``: of products of
    matrices, a multiplication and an addition being two. ``values``: numbers that are gone over one by one
    besides (exponentials, sums, copies). ``calls``: of blocks and readouts, each of which takes a moment
    however little it is given. ``seconds``: of other work, on one core of the machine of docs/costs.md.
    ``memory``: bytes held at once. ``disk``: bytes written.
    """

    tokens: float = 0
    passes: float = 0
    operations: float = 0
    values: float = 0
    calls: float = 0
    seconds: float = 0
    memory: float = 0
    disk: float = 0

    def __add__(self, other: "Cost") -> "Cost":
        """Both, one after the other: the memory of the one that needs more."""
        *mine, memory, disk = astuple(self)
        *theirs, their_memory, their_disk = astuple(other)
        done = (a + b for a, b in zip(mine, theirs, strict=True))
        return Cost(*done, max(memory, their_memory), disk + their_disk)

    def beside(self, memory: float) -> "Cost":
        """The same, while so many bytes more are held."""
        return replace(self, memory=self.memory + memory)

    def times(self, n: float) -> "Cost":
        """The same ``n`` times over, in the same memory."""
        *each, memory, disk = astuple(self)
        return Cost(*(n * value for value in each), memory, n * disk)
