"""What the jobs of every rule will cost: `Estimates`, which profiles and the target ``estimate`` ask.

No array library is imported here, and nothing is measured or tokenised: that is for the target alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from pipeline.counts import Counts, at_most, number_of_all, number_of_traced
from pipeline.light_costs import light
from pipeline.models import busy_processors
from pipeline.rule_costs import RULES, WHERE, whole
from pipeline.work import STAGES, TRACE, Work
from strata.costs.cost import Cost
from strata.costs.machine import REFERENCE
from strata.model.shape import shape_of
from strata.model.source import ModelUnavailable
from strata.share import GROUP

FEW, HOURS = 1000, 4
"""Prompts that one job is given, where that is left to the estimate; hours that a shard of more takes."""

GPU = 10
"""How many times as fast as a processor a GPU is, at least, where there is much to compute."""

IF_ASKED = {
    *("trace_approximate", "average_approximate", "draw_first_order"),
    *("compare_approximation", "draw_approximation"),
}
"""Rules that run where the key ``trace.approximate`` asks for them, or a person by name."""

IMPORTS = {"": (0, 4.5e8), "device": (0.1, 5e8), "model": (0.3, 5.5e8)}
"""Seconds until a job's work begins, and bytes of libraries: without torch, with it, with a model. Jobs on
one machine are forks of a process that has imported them; on a cluster each does, for some seconds."""


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

    def __init__(
        self,
        config: Mapping,
        prompts: Mapping[str, Mapping],
        counts: Mapping[str, Counts] | None = None,
    ):
        self._config, self._prompts, self._counts = config, prompts, counts or {}
        self.work, self.shards = cache(self._work), cache(self._shards)
        self.needs, self._at_most = cache(self._needs), cache(self._bound)
        self._named = cache(self._jobs)

    def _work(self, model: str) -> Work:
        """What is asked of a model.

        Raises
        ------
        ModelUnavailable
            If its sizes are not known here.
        """
        bound = self._at_most(model)
        shards = {stage: self.shards(model, stage) for stage in STAGES}
        return replace(bound, counts=self._counts.get(model) or bound.counts, shards=shards)

    def _bound(self, model: str) -> Work:
        """The same at most, and at once."""
        section = self._config["models"][model]
        shape = shape_of(section["source"], section["revision"])
        return Work(model, shape, at_most(self._config, model, self._prompts, shape.vocab), self._config)

    def _shards(self, model: str, stage: str) -> int:
        """How many shards a stage of a model is cut into: the same whatever was counted, or runs here.

        Raises
        ------
        ModelUnavailable
            If that takes sizes that are not known here.
        """
        wanted = self._config[stage]["prompts_per_shard"]
        candidates = number_of_traced(self._prompts) if stage == TRACE else number_of_all(self._prompts)
        most = max(1, math.ceil(candidates / GROUP))
        if wanted != "auto":
            return min(most, max(1, math.ceil(candidates / wanted)))
        if candidates <= FEW:
            return 1
        minutes = max(REFERENCE.seconds(cost, 4) for cost in whole(stage, self._at_most(model))) / 60
        if self._config["models"][model]["device"] != "cpu":
            minutes /= GPU
        return min(most, max(1, math.ceil(minutes / 60 / HOURS)))

    def jobs(self, rule: str, model: str) -> list[Cost]:
        """The cost of each job of a rule for a model, its process included; none, if a run has none.

        Raises
        ------
        ModelUnavailable
            As `work`.
        KeyError
            If it is not known what the rule costs.
        """
        asked = rule not in IF_ASKED or self._config["trace"]["approximate"]
        return self._named(rule, model) if asked else []

    def _jobs(self, rule: str, model: str) -> list[Cost]:
        """The same where its files are asked for by name."""
        work, (seconds, held) = self.work(model), IMPORTS[WHERE.get(rule, "")]
        jobs = RULES[rule](work) if rule in RULES else light(rule, work)
        return [replace(job, memory=held + job.memory, seconds=seconds + job.seconds) for job in jobs]

    def processors(self, rule: str, model: str) -> int:
        """How many a job of a rule keeps busy, at most."""
        return busy_processors(self._config["models"][model]) if rule in RULES else 1

    def _needs(self, rule: str, model: str) -> Needs | None:
        """What the dearest job of a rule needs, at most, on processors like those of docs/costs.md.

        None where a model's sizes are not known: of one on the hub that was not brought here yet.

        Raises
        ------
        KeyError
            If it is not known what the rule costs.
        """
        try:
            jobs = self._named(rule, model) or [Cost()]
        except ModelUnavailable:
            return None
        n = self.processors(rule, model)
        return Needs(
            operations=max(job.operations for job in jobs),
            memory_mb=round(max(job.memory for job in jobs) / 2**20),
            minutes=max(REFERENCE.seconds(job, n) for job in jobs) / 60,
        )
