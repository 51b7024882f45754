"""What jobs ask of a machine or a cluster: processors, GPUs, memory and time."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.models import is_small
from strata.model.shape import shape_of
from strata.model.source import ModelUnavailable

MEMORY_MB, MINUTES = 2000, 30
"""What every job may take: libraries, and what it reads."""

UNKNOWN_MB, LONG_MINUTES = 16_000, 240
"""What a job may take of a model whose sizes are not known here; or where much is computed."""

LONG = {"trace_prompts", "trace_parts", "trace_control", "fit_jacobian", "train_organism"}


@dataclass(frozen=True)
class Requests:
    """What jobs ask for, as functions that Snakemake calls with a job's wildcards and attempt.

    ``models``: sections of config.yaml. ``cores``: those of a run on one machine. ``gpus``: how many the run
    may use; None where that is not known, as on a cluster's node.
    """

    models: Mapping[str, Mapping]
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
            "mem_mb": lambda wildcards, attempt: self.memory_mb(wildcards) * 2 ** (attempt - 1),
            "runtime": lambda wildcards, attempt: minutes(name) * 2 ** (attempt - 1),
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
        """Processors that help a job on a model: a small one's products gain nothing from a second."""
        return 1 if is_small(self.models[wildcards.model]) else 4

    def gpu(self, wildcards) -> int:
        """GPUs for a job on its model's device: where that is ``auto``, one if the run may use any."""
        device = self.models[wildcards.model]["device"]
        return {"cpu": 0, "auto": min(1, self.gpus or 0)}.get(device, 1)

    def memory_mb(self, wildcards) -> int:
        """Megabytes: the libraries, and what the hungriest job of docs/costs.md holds of a model."""
        model = self.models.get(wildcards.get("model"))
        return MEMORY_MB + (held_mb(model) if model else 0)


def minutes(rule: str) -> int:
    """Minutes that a job of a rule may take."""
    return LONG_MINUTES if rule in LONG else MINUTES


def held_mb(model: Mapping) -> int:
    """Megabytes of a model twice over, of copies of its embedding, and of maps of its states."""
    try:
        shape = shape_of(model["source"], model["revision"])
    except ModelUnavailable:
        return UNKNOWN_MB
    return (8 * shape.parameters + 24 * shape.embedding + 40 * shape.layers * shape.channels**2) // 10**6
