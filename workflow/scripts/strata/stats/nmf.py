"""Non-negative factorisation of embeddings, which have both signs."""

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import NMF, non_negative_factorization


@dataclass(frozen=True)
class Factors:
    """Non-negative ``parts`` (component, 2 x channel): positive halves, then negative ones.

    Embeddings have both signs, so the factors are of [W⁺, W⁻], positive and negative parts side by
    side, and a component's direction is its positive less its negative half. That keeps zero zero and
    treats both signs alike. Shifting W by its minimum, the other way, lets one outlying entry set the
    origin of a channel, and spends the first component on the shift.
    """

    parts: np.ndarray

    @property
    def directions(self) -> np.ndarray:
        """Directions (component, channel) of length 1."""
        positive, negative = np.hsplit(self.parts, 2)
        directions = positive - negative
        return directions / np.linalg.norm(directions, axis=1, keepdims=True)

    def amounts(self, matrix: np.ndarray, tile: int = 4096) -> np.ndarray:
        """How much of each component a row of ``matrix`` (row, channel) has: float32 (row, component)."""
        parts = self.parts.astype(np.float32)
        tiles = [
            non_negative_factorization(
                _split(matrix[start : start + tile].astype(np.float32)),
                H=parts,
                n_components=len(parts),
                init="custom",
                update_H=False,
                max_iter=1000,
            )[0]
            for start in range(0, len(matrix), tile)
        ]
        return np.concatenate(tiles)


def factorise(rows: np.ndarray, n_components: int, seed: int, iterations: int = 50) -> Factors:
    """Factorise embeddings, the component that carries most first.

    Parameters
    ----------
    rows : (token, channel)
    n_components : fewer than channels
    seed : of the beginning
    iterations : of coordinate descent; always as many

    Raises
    ------
    ValueError
        If there are not fewer components than channels, or more than tokens.
    """
    if not 0 < n_components < rows.shape[1] or n_components > len(rows):
        raise ValueError(f"{n_components} components of {len(rows)} embeddings of {rows.shape[1]} channels")
    # A tolerance of 0 asks for all iterations, and for no warning that they were few.
    model = NMF(n_components, init="nndsvda", tol=0, max_iter=iterations, random_state=seed)
    activation = model.fit_transform(_split(rows))
    weight = activation.sum(0) * np.linalg.norm(model.components_, axis=1)
    return Factors(model.components_[np.argsort(-weight)])


def _split(rows: np.ndarray) -> np.ndarray:
    return np.hstack([rows.clip(min=0), -rows.clip(max=0)])
