"""Losses of a model whose weights are overwritten, and a model that reads one channel's position."""

import copy

import numpy as np
import torch

from oracles.planted import POSITIONS, VOCAB, idle_blocks


def losses(model, documents, matrix=None) -> list[list[float]]:
    """Loss of every next token, of a copy of the model with another position matrix."""
    model = copy.deepcopy(model)
    if matrix is not None:
        model.transformer.wpe.weight.copy_(torch.from_numpy(matrix))
    result = []
    for document in documents:
        logits = model(torch.tensor([document])).logits[0].double()
        chances = torch.softmax(logits, -1)
        result.append([-float(torch.log(chances[t, document[t + 1]])) for t in range(len(document) - 1)])
    return result


def smooth(matrix: np.ndarray, width: float) -> np.ndarray:
    """Weighted means with the ends repeated far beyond the matrix."""
    n = len(matrix)
    smoothed = np.zeros_like(matrix, dtype=float)
    reach = int(4 * width + 0.5)
    weights = [np.exp(-(k**2) / (2 * width**2)) for k in range(-reach, reach + 1)]
    for t in range(n):
        for k, weight in zip(range(-reach, reach + 1), weights, strict=True):
            smoothed[t] += weight * matrix[min(max(t + k, 0), n - 1)] / sum(weights)
    return smoothed


def reads_position(channel: int = VOCAB):
    """Position alternates in one channel, and the unembedding tells by it whether token 0 or 1 follows.

    Another channel's position part is nearly as large and read by nothing; the rest have a hundredth.
    """
    model = idle_blocks()
    wpe, wte, unembedding = model.transformer.wpe.weight, model.transformer.wte.weight, model.lm_head.weight
    wte.zero_()
    unembedding.zero_()
    wpe.normal_(std=0.01)
    wpe[:, channel] = torch.tensor([1.0, -1.0]).repeat(POSITIONS // 2)
    wpe[:, channel + 1] = torch.tensor([0.9, 0.9, -0.9, -0.9]).repeat(POSITIONS // 4)
    unembedding[0, channel], unembedding[1, channel] = 1.0, -1.0
    return model


DOCUMENTS = 4 * [[1, 0, 1, 0, 1, 0, 1], [5, 0, 1, 0, 1], [7, 0, 1, 0, 1, 0, 1, 0], [3, 0, 1]]
"""What `reads_position` predicts: 0 after even positions, 1 after odd ones."""
