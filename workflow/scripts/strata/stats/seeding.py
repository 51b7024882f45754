"""Random generators: one for each named draw, from one seed."""

import hashlib

import numpy as np


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Random numbers that depend on the seed and on names alone.

    Names are words (of a category, of a test) or numbers (of a layer).
    """
    words = [name for name in names if isinstance(name, str)]
    numbers = [int(name) for name in names if not isinstance(name, str)]
    if words:
        numbers.append(int.from_bytes(digest(*words)[:8], "little"))
    return np.random.default_rng([seed, *numbers])


def digest(*names: object) -> bytes:
    """32 bytes (SHA-256) that depend on names, in their order, and on nothing else."""
    return hashlib.sha256("\0".join(map(str, names)).encode()).digest()
