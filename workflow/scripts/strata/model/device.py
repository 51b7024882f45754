"""Which device a model's section of config.yaml means on this machine."""

import torch


def usable(device: str) -> str:
    """The device itself; of ``auto``, a GPU where there is one, else the CPU."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"
