"""In which form activations are kept in a file."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Form:
    """A type, and what numbers are divided by before they are of it; a power of two, which costs no digit."""

    dtype: str
    scale: float

    @property
    def largest(self) -> float:
        """The largest number that can be kept."""
        return float(np.finfo(self.dtype).max) * self.scale


FORMS = {"float16": Form("float16", 64.0), "float32": Form("float32", 1.0)}
"""By type. Some models have states of a few hundred thousand, beyond float16's 65,504; divided by 64, those
above 0.004 keep all their digits."""
