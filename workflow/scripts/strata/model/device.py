"""Which device a model's section of config.yaml means on this machine."""

import torch


def require(device: str) -> None:
    """Refuse a GPU where there is none.

    Raises
    ------
    RuntimeError
        If ``device`` is a GPU and torch finds none.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise RuntimeError(
            f"torch {torch.__version__} finds no GPU here; declare the model with device: cpu, or auto"
        )


def usable(device: str) -> str:
    """The device itself, which must be there; of ``auto``, a GPU where there is one, else the CPU."""
    require(device)
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def at_once(n: int, device: torch.device | str, on_gpu: int) -> int:
    """How many are computed with at once: ``n``, or on a GPU ``on_gpu`` times ``n``.

    A CPU's cache has room for the former; a GPU's calls cost more than what is in them, if that is little.
    """
    return n if torch.device(device).type == "cpu" else on_gpu * n
