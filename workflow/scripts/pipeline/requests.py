"""What jobs ask of a machine or a cluster: processors, GPUs, memory and time."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.estimate import GPU, Estimates
from pipeline.light_costs import LIGHT
from pipeline.models import busy_processors
from pipeline.rule_costs import RULES

MEMORY_MB, MINUTES = 2000, 30
"""What any job may take, more than is estimated where it runs a model, and at least where it does not."""

MORE_MEMORY, MORE_TIME = 1.5, 3
"""Of what is estimated, how much a job may take besides."""

UNKNOWN_MB, UNKNOWN_MINUTES = 16_000, 240
"""What a job may take of a model of the hub whose sizes are not known here before it is brought."""


@dataclass(frozen=True)
class Requests:
    """What jobs ask for, as functions that Snakemake calls with a job's wildcards and attempt.

    ``models``: sections of config.yaml. ``estimates``: of what their jobs cost. ``cores``: those of a run on
    one machine. ``gpus``: how many the run may use; None where that is not known, as on a cluster's node.
    """

    models: Mapping[str, Mapping]
    estimates: Estimates
    cores: int | None
    gpus: int | None

    def of_rule(self, name: str, processors: int, on_device: bool, gpu_model: str | None) -> dict[str, Any]:
        """Resources of a rule's jobs; memory and time double with each attempt.

        ``processors``: that it keeps busy, where its jobs do not run on the device of a model. ``gpu_model``:
        the GPU's name that a profile gives to all jobs; in one that asks for no GPU, it would ask for one.
        """
        busy = self.processors if on_device else lambda wildcards: processors
        asked: dict[str, Callable] = {
            "processors": busy,
            "_cores": lambda wildcards: self.share * busy(wildcards),
            "mem_mb": lambda wildcards, attempt: 2 ** (attempt - 1) * self.memory_mb(name, wildcards),
            "runtime": lambda wildcards, attempt: (
                2 ** (attempt - 1) * self.minutes(name, wildcards, on_device)
            ),
        }
        if on_device:
            asked["gpu"] = self.gpu
        if gpu_model:
            asked["gpu_model"] = lambda wildcards: gpu_model if on_device and self.gpu(wildcards) else ""
        return asked

    @property
    def share(self) -> int:
        """Cores that a processor stands for, where a run is given more than there are."""
        return math.ceil((self.cores or 1) / os.cpu_count())

    def processors(self, wildcards) -> int:
        """Processors that help a job on its model."""
        return busy_processors(self.models[wildcards.model])

    def gpu(self, wildcards) -> int:
        """GPUs for a job on its model's device: where that is ``auto``, one if the run may use any."""
        device = self.models[wildcards.model]["device"]
        return {"cpu": 0, "auto": min(1, self.gpus or 0)}.get(device, 1)

    def memory_mb(self, rule: str, wildcards) -> int:
        """Megabytes that a first attempt may take."""
        return self._asked(rule, wildcards, lambda of: MORE_MEMORY * of.memory_mb, MEMORY_MB, UNKNOWN_MB)

    def minutes(self, rule: str, wildcards, on_device: bool) -> int:
        """Minutes that a first attempt may take."""
        more = MORE_TIME / (GPU if on_device and self.gpu(wildcards) else 1)
        return self._asked(rule, wildcards, lambda of: more * of.minutes, MINUTES, UNKNOWN_MINUTES)

    def _asked(self, rule: str, wildcards, needed: Callable, least: int, unknown: int) -> int:
        """``least`` and what a job is estimated to need; of light jobs, the larger of the two."""
        light = rule in LIGHT
        if not (light or rule in RULES) or wildcards.get("model") not in self.models:
            return least
        estimated = self.estimates.needs(rule, wildcards.model)
        if not estimated:
            return least if light else unknown
        more = round(needed(estimated))
        return max(least, more) if light else least + more
