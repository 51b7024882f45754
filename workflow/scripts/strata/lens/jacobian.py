"""The Jacobian lens: where, on average, a small change at a depth goes by the last depth.

Gurnee et al. 2026: state h of depth d is decoded as the final norm and unembedding of J h, where
J = E[∂h_L/∂h_d] over text. For one document and output channel a unit cotangent is put on that channel
of the last depth at all valid positions at once; the gradient at a source position is then the sum over
the positions from it on. Gradients are averaged over a document's valid source positions, and documents
count equally. Early positions, which serve as attention sinks, are skipped; the last position has no
next token in the document and is no valid position either.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from strata.lens.decoders import DepthMaps
from strata.lens.stream import stream_depths
from strata.model.architecture import Parts
from strata.model.batching import Batch, batches
from strata.model.workers import threads
from strata.progress import Progress, silent


def usable(documents: Iterable[Sequence[int]], skip: int) -> list[Sequence[int]]:
    """The documents that have a valid position: more than ``skip`` + 1 tokens."""
    return [document for document in documents if len(document) > skip + 1]


def fit(
    parts: Parts,
    documents: Sequence[Sequence[int]],
    skip: int,
    max_tokens: int = 1024,
    progress: Progress = silent,
) -> DepthMaps:
    """Average Jacobians of every depth but the last.

    Parameters
    ----------
    documents : token ids
    skip : positions at a document's beginning that are neither source nor target
    max_tokens : tokens, padding included, that go through the model at once

    Returns
    -------
    DepthMaps, without bias

    Raises
    ------
    ValueError
        If no document is longer than ``skip`` + 1 tokens.
    """
    # The last token is no source and no target, and no other sees it.
    chosen = [document[:-1] for document in usable(documents, skip)]
    if not chosen:
        raise ValueError(f"no document has more than {skip + 1} tokens: nothing to average over")
    together = batches(chosen, max_tokens, parts)
    n_channels = parts.n_channels
    total = torch.zeros(parts.n_layers, n_channels, n_channels, device=parts.device)
    turn = iter(progress(range(len(together) * n_channels), "backward passes"))
    with threads(parts) as apart:
        for batch in together:
            passes = _backward(*_forward(parts, batch, skip), total)
            for _ in apart.map(passes, range(n_channels)):
                next(turn)
            del passes  # and all that the forward pass kept, before the next one
    weight = total.float().cpu() / len(chosen)
    depths = stream_depths(parts.n_layers, half_depths=False)[:-1]
    return DepthMaps(depths, weight, torch.zeros(len(depths), n_channels), parts.n_layers)


def _forward(parts: Parts, batch: Batch, skip: int) -> tuple[list[Tensor], Tensor]:
    """The stream (row, position, channel) by depth, and valid positions."""
    valid = batch.present & (torch.arange(batch.ids.shape[1], device=batch.ids.device) >= skip)
    handles = [function.register_forward_hook(_keep_slope) for function in parts.activations]
    hidden = parts.embed(batch.ids).requires_grad_()
    stream: list[Tensor] = []
    try:
        with torch.enable_grad():
            for layer in range(parts.n_layers):
                stream.append(hidden)
                hidden = parts.run_block(layer, hidden, 0)
    finally:
        for handle in handles:
            handle.remove()
    return [*stream, hidden], valid


def _backward(stream: Sequence[Tensor], valid: Tensor, total: Tensor) -> Callable[[int], None]:
    """What adds a channel's gradients to ``total`` (depth, channel of the last depth, source channel)."""
    # Each source position counts as one of its document's; each document as one.
    share = (valid / valid.sum(1, keepdim=True)).to(stream[0]).flatten()
    *sources, target = stream

    def add(channel: int) -> None:
        cotangent = torch.zeros_like(target)
        cotangent[..., channel] = valid.to(target)
        gradients = torch.autograd.grad(target, sources, cotangent, retain_graph=True)
        for depth, gradient in enumerate(gradients):
            total[depth, channel] += share @ gradient.flatten(0, 1)

    return add


class _Pointwise(torch.autograd.Function):
    """A function of each entry by itself whose slope is kept: the many backward passes only multiply."""

    @staticmethod
    def forward(ctx, entries: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.enable_grad():
            entries = entries.detach().requires_grad_()
            values = function(entries)
            (slope,) = torch.autograd.grad(values.sum(), entries)
        ctx.save_for_backward(slope)
        return values.detach()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None


def _keep_slope(module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
    return _Pointwise.apply(args[0], module.forward)
