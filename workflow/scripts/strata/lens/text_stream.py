"""Passes over the residual stream of the sampled text, a bounded number of tokens at a time."""

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from strata.lens.stream import stream_depths
from strata.names import BEGINNING, DEPTH, DOCUMENT, SPLIT, TOKEN
from strata.text.documents import next_in_document


class TextStream:
    """The stream of some text at every depth, float32.

    Parameters
    ----------
    activations : ``resid`` (depth, token, channel), with ``token_id``, ``document`` and ``split`` (token),
        perhaps ``beginning``: tokens before a text are left out
    n_tokens : of a batch
    device : where the batches are to lie
    """

    def __init__(self, activations: xr.Dataset, n_tokens: int, device: str = "cpu"):
        self.depths = stream_depths(activations.sizes[DEPTH] - 1, half_depths=False)
        self._activations = activations
        self._n_tokens = n_tokens
        self._device = device
        self._targets = next_in_document(activations)
        before = activations[BEGINNING].values if BEGINNING in activations.coords else False
        self._fitted = np.broadcast_to(np.logical_not(before), self._targets.shape)

    def batches(self, split: str, at_most: int | None = None) -> Iterator[Tensor]:
        """Streams (depth, token, channel) of one split's tokens, or of the first of them."""
        for stream, *_ in self.batches_with_targets(split, at_most):
            yield stream

    def batches_with_targets(
        self, split: str, at_most: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor, np.ndarray]]:
        """The same, with the true next tokens (token), -1 at a document's end, and documents (token)."""
        # A split's tokens adjoin: reading them in slices is one read of each depth.
        inside = np.flatnonzero(self._activations[SPLIT].values == split)
        first, end = inside[0], inside[:at_most][-1] + 1
        for start in range(first, end, self._n_tokens):
            tokens = slice(start, min(start + self._n_tokens, end))
            piece = self._activations.isel({TOKEN: tokens})
            fitted = torch.from_numpy(self._fitted[tokens].copy())
            stream = torch.from_numpy(piece["resid"].values)[:, fitted].to(self._device).float()
            targets = torch.from_numpy(self._targets[tokens])[fitted].to(self._device)
            documents = piece[DOCUMENT].values[self._fitted[tokens]]
            yield stream, targets, documents
