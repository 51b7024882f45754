"""What jobs ask of a machine or a cluster: processors, GPUs, memory and time."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.models import is_small
from strata.model.shape import shape_of
from strata.model.source import ModelUnavailable

LIBRARIES = 2 * 10**9
"""Bytes of a job that holds no model: libraries and what it reads."""

UNKNOWN = 16 * 10**9
"""Bytes for a model whose sizes are not known before it is brought."""

LONG = {"trace_prompts", "trace_parts", "trace_control", "fit_jacobian", "train_organism"}
"""Rules whose jobs take longest."""

MINUTES, LONG_MINUTES = 30, 240


@dataclass(frozen=True)
class Needs:
    """What jobs need, as functions that Snakemake calls with a job's wildcards and attempt.

    ``models``: sections of config.yaml. ``cores``: those of a run on one machine. ``gpus``: how many the run
    may use; None where that is not known, as on a cluster's node.
    """

    models: Mapping[str, Mapping]
    cores: int | None
    gpus: int | None

    def of_rule(self, name: str, processors: int, on_device: bool, gpu_model: str | None) -> dict[str, Any]:
        """Resources of a rule's jobs.

        ``processors``: that it keeps busy, where its jobs do not run on the device of a model. ``gpu_model``:
        the GPU's name that a profile gives to all jobs; in one that asks for no GPU, it would ask for one.
        """
        busy = self.processors if on_device else lambda wildcards: processors
        asked: dict[str, Callable] = {
            "processors": busy,
            "_cores": lambda wildcards: self.share * busy(wildcards),
            "mem_mb": self.memory_mb,
            "runtime": lambda wildcards, attempt: minutes(name, attempt),
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

    def memory_mb(self, wildcards, attempt: int) -> int:
        """Megabytes: what the hungriest job of docs/costs.md holds of a model, twice as many each time."""
        model = self.models.get(wildcards.get("model"))
        return grown(LIBRARIES + (held(model) if model else 0), attempt) // 10**6


def minutes(rule: str, attempt: int) -> int:
    """Minutes that a job may take, twice as many each time."""
    return grown(LONG_MINUTES if rule in LONG else MINUTES, attempt)


def held(model: Mapping) -> int:
    """Bytes of a model twice over, of copies of its embedding, and of maps of its states."""
    try:
        shape = shape_of(model["source"], model["revision"])
    except ModelUnavailable:
        return UNKNOWN
    return 8 * shape.parameters + 24 * shape.embedding + 40 * shape.layers * shape.channels**2


def grown(need: int, attempt: int) -> int:
    """A need, doubled with each attempt after the first."""
    return need * 2 ** (attempt - 1)
