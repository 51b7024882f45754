"""What a job asks of a machine or a cluster: GPUs, memory and time, more with every attempt."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.models import weights_of

BASE_MB, BASE_MINUTES = 1500, 20
"""Of a job that holds no more than the libraries and a table."""


def gpus(device: str, limit: int | None) -> int:
    """GPUs that a job on a device asks for: where that is ``auto``, one if the run may use any.

    ``limit``: how many the run may use; None where that is not known, as on a cluster's node.
    """
    return {"cpu": 0, "auto": min(1, limit or 0)}.get(device, 1)
