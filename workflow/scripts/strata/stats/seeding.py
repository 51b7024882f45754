"""Random generators: one for each named draw, from one seed."""

import hashlib

import numpy as np


def generator(seed: int, name: str) -> np.random.Generator:
    """Random numbers that hang on the seed and a name (of a category, of a test) alone."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])
