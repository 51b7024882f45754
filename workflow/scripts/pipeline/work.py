"""What rules are asked to do for a model, and where what they cost is entered.

No array library is imported here: the rules ask for this at every start of the pipeline.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

from pipeline.counts import SPLIT, Counts
from strata.costs.cost import Cost
from strata.costs.machine import REFERENCE
from strata.costs.running import Prompt
from strata.model.shape import Shape

TRACE, LENS = STAGES = ("trace", "lens")
"""What is cut into shards where there are many prompts; sections of config.yaml, folders of results."""


@dataclass(frozen=True)
class Work:
    """What rules are asked to do: a model's name and sizes, what goes through it, the configuration; into how
    many shards each of `STAGES` is cut."""

    model: str
    shape: Shape
    counts: Counts
    config: Mapping
    shards: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(STAGES, 1))

    @property
    def cut(self) -> bool:
        """Whether any stage is cut: all of them are then gathered from shards, of one perhaps."""
        return max(self.shards.values()) > 1

    @property
    def section(self) -> Mapping:
        """The model's section of the configuration."""
        return self.config["models"][self.model]

    @cached_property
    def traced(self) -> list[Prompt]:
        """All prompts that are traced."""
        return [*chain.from_iterable(self.counts.traced.values())]

    def traced_in(self, categories: Collection[str] | None, first: int | None = None) -> list[Prompt]:
        """Those of some categories, or of all; of each the ``first``, or all."""
        return [
            prompt
            for category, own in self.counts.traced.items()
            if categories is None or category in categories
            for prompt in own[:first]
        ]

    def split(self, part: int) -> list[int]:
        """Tokens of the documents of a split of the text."""
        n = len(self.counts.text)
        bounds = [round(sum(SPLIT[:i]) * n) for i in range(len(SPLIT) + 1)]
        return list(self.counts.text[bounds[part] : bounds[part + 1]])

    def states(self, tokens: float, bytes_each: int = 4) -> float:
        """Bytes of the states of so many tokens at all depths."""
        return bytes_each * tokens * (self.shape.layers + 1) * self.shape.channels


def bytes_of(dtype: str) -> int:
    """Of a number."""
    return 4 if dtype == "float32" else 2


DEVICE, MODEL = "device", "model"
"""Where a rule's jobs do their work: on the model's device, without the model or with it in memory."""

RULES: dict[str, Callable[[Work], Sequence[Cost]]] = {}
"""By rule: the cost of each of its jobs for a model; none, where the configuration asks for no job."""

WHERE: dict[str, str] = {}
"""By rule: `DEVICE` or `MODEL`."""


def rule(where: str, name: str | None = None) -> Callable:
    """Enter a function under the name of its rule, which is its own if none is given."""

    def enter(cost: Callable[[Work], Cost | Sequence[Cost]]) -> Callable[[Work], Sequence[Cost]]:
        def jobs(work: Work) -> list[Cost]:
            found = cost(work)
            each = [found] if isinstance(found, Cost) else [*found]
            held = work.shape.parameters * bytes_of(work.section["dtype"]) if where == MODEL else 0
            return [replace(one, memory=one.memory + held) for one in each]

        RULES[name or cost.__name__] = jobs
        WHERE[name or cost.__name__] = where
        return jobs

    return enter


def on_processors(cost: Cost) -> Cost:
    """Work that is done on a processor even where the model is on a graphics card, in seconds."""
    return Cost(seconds=REFERENCE.seconds(cost), memory=cost.memory)
