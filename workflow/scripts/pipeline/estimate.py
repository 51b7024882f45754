"""What the jobs of every rule will cost: `Estimates`, which rules and the target ``estimate`` ask.

No array library is imported here, and nothing is measured or tokenised: that is for the target alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from pipeline.counts import Counts, at_most
from pipeline.models import is_small
from pipeline.rule_costs import RULES, Work
from strata.costs.cost import Cost
from strata.costs.machine import REFERENCE
from strata.model.shape import shape_of
from strata.model.source import ModelUnavailable

PROCESS = 6e8
"""Bytes that a job's process takes with what it imports."""

START = 6
"""Seconds of a job's imports and opening of files."""


@dataclass(frozen=True)
class Needs:
    """What one job needs: operations, MB of memory, minutes."""

    operations: float
    memory_mb: int
    minutes: float


class Estimates:
    """Costs of rules for the models of a configuration.

    Parameters
    ----------
    config : as it was checked
    prompts : contents of the files of data/prompts
    counts : by model, where they are known; else upper bounds are taken
    """

    def __init__(self, config: Mapping, prompts: Mapping[str, Mapping], counts: Mapping[str, Counts] = {}):
        self._config, self._prompts, self._counts = config, prompts, counts
        self.work = cache(self._work)
        self.jobs = cache(self._jobs)

    def _work(self, model: str) -> Work:
        section = self._config["models"][model]
        # Of a GGUF file, its header; what is made of it may not be there yet.
        shape = shape_of(section["source"], section["revision"])
        counts = self._counts.get(model) or at_most(self._config, model, self._prompts, shape.vocab)
        return Work(model, shape, counts, self._config)

    def _jobs(self, rule: str, model: str) -> list[Cost]:
        """The cost of each job of a rule for a model, its process included; none, if it has none.

        Raises
        ------
        ModelUnavailable
            If the model's sizes are not known here.
        """
        cost = RULES.get(rule)
        found = cost(self.work(model)) if cost else [Cost()]
        return [replace(one, memory=PROCESS + one.memory, seconds=START + one.seconds) for one in found]

    def needs(self, rule: str, model: str) -> Needs | None:
        """What the dearest job of a rule needs, at most, on processors like those of docs/costs.md.

        None where nothing is known: of a model of the hub that was not brought here, or of a rule that costs
        seconds.
        """
        try:
            jobs = self.jobs(rule, model) if rule in RULES else []
        except ModelUnavailable:
            return None
        if not jobs:
            return None
        processors = 1 if is_small(self._config["models"][model]) else 4
        return Needs(
            operations=max(job.operations for job in jobs),
            memory_mb=round(max(job.memory for job in jobs) / 2**20),
            minutes=max(REFERENCE.seconds(job, processors) for job in jobs) / 60,
        )
