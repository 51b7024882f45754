"""The tuned lens: an affine map for each depth, trained to say what the model will say.

Belrose et al. 2023 (https://arxiv.org/abs/2303.08112): state h of depth d is decoded as the final norm
and unembedding of A h + b, with A and b of that depth trained to the least KL(final ‖ decoded).

The maps begin at the least-squares map from h to the last depth's state (a shortcut in the manner of
Din et al. 2023) and are trained on whitened states, which spares most of the steps. Validation text
decides for each depth between what was trained, the least-squares map, and no map at all, so that the
tuned lens is no worse than the logit lens.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.linalg import solve_triangular, vecdot

from strata.exponentials import exp_relative_
from strata.lens.decoders import DepthMaps
from strata.model.device import at_once
from strata.model.readout import LogitDecoder
from strata.names import DEPTH
from strata.products import product
from strata.progress import Progress, silent
from strata.stats.bootstrap import Bootstrap

OF_REPORT = Bootstrap(1000, 0.95, 0)
"""Over the documents of the report: were it a setting, another one would have the lens fitted again."""

Batches = Callable[[], Iterator[Tensor]]
"""Makes a pass over some text: the stream (depth, token, channel) of some tokens at a time."""


PIECE = 2**20
"""Logits held at once on a CPU, so that its cache has them while they are reduced."""

ON_GPU = 64
"""Times as many on a GPU: its calls cost more, and no cache has to hold them."""


class KLFromFinal(torch.autograd.Function):
    """KL(final ‖ decoded) in nats of normed rows, their gradient made in passing (`_kl`)."""

    @staticmethod
    def forward(
        ctx,
        rows: Tensor,
        decoder: LogitDecoder,
        final: Tensor,
        negative_entropy: Tensor | None = None,
    ) -> Tensor:
        """``rows`` (..., token, channel), ``final`` probabilities (token, vocab) -> (..., token).

        ``negative_entropy`` (token) is that of ``final``, for a caller with many rows to one of these.
        """
        if negative_entropy is None:
            negative_entropy = _negative_entropy(final)
        kl, _, slope = _kl(rows, decoder, final, negative_entropy, with_slope=ctx.needs_input_grad[0])
        ctx.save_for_backward(slope)
        return kl

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        (slope,) = ctx.saved_tensors
        return slope * gradient[..., None], None, None, None


def _kl(
    rows: Tensor, decoder: LogitDecoder, final: Tensor, negative_entropy: Tensor, with_slope: bool = False
) -> tuple[Tensor, Tensor, Tensor | None]:
    """KL(final ‖ decoded), and the logits' log-sum-exp, (..., token), of normed rows (..., token, channel).

    And the KL's gradient, if asked for: in the decoded logits it is q - p, times the slope of their cap. It
    is multiplied by the unembedding at once, a piece of the vocabulary after the other, relative to the
    largest logit so far: nothing of the vocabulary's size is made.
    """
    flat = rows.flatten(0, -2)
    top = flat.new_full((len(flat), 1), -torch.inf)
    total, cross = flat.new_zeros(len(flat), 1), rows.new_zeros(rows.shape[:-1])
    towards, away = torch.zeros_like(flat), 0
    size = at_once(PIECE, rows.device, ON_GPU) // len(flat)
    for piece, part in decoder.pieces(max(1, size)):
        p, z = final[:, piece], part.finish_(product(flat, part.unembedding))
        cross += vecdot(p, z.view(*rows.shape[:-1], -1))
        bend = 1 - (z / decoder.cap).square_() if with_slope and decoder.cap is not None else None
        higher = torch.maximum(top, z.amax(-1, keepdim=True))
        fall, top = (top - higher).exp_(), higher
        exp_relative_(z, top)
        total.mul_(fall).add_(z.sum(-1, keepdim=True))
        if with_slope:
            if bend is not None:
                z.mul_(bend)
                p = p * bend.view(*rows.shape[:-1], -1)
            towards.mul_(fall).add_(product(z, part.unembedding.T))
            away = away + product(p, part.unembedding.T)
    slope = (towards / total).view_as(rows) - away if with_slope else None
    log_total = (top + total.log()).view_as(cross)
    return negative_entropy - cross + log_total, log_total, slope


def _negative_entropy(probabilities: Tensor) -> Tensor:
    return torch.special.entr(probabilities).sum(-1).neg_()


@dataclass(frozen=True)
class Whitening:
    """Moments of the states of every depth but the last, and of what they are to lead to.

    ``mean`` (depth - 1, channel); ``root`` (depth - 1, channel, channel), lower triangular, with
    root rootᵀ the covariance plus a small ridge; ``target_mean`` (channel); ``target_spread``, root
    mean square standard deviation of the last depth's channels; ``shared`` (depth - 1, channel out,
    channel), the last depth's covariance with the state.
    """

    mean: Tensor
    root: Tensor
    target_mean: Tensor
    target_spread: float
    shared: Tensor

    @classmethod
    def of(cls, batches: Iterable[Tensor], ridge: float = 1e-4) -> "Whitening":
        """From streams (depth, token, channel); ``ridge`` is a share of the channels' mean variance."""
        count, total, square, cross = 0, 0, None, None
        for stream in batches:
            if square is None:
                n_depths, _, n = stream.shape
                square = stream.new_zeros(n_depths, n, n, dtype=torch.double)
                cross = torch.zeros_like(square[:-1])
            count += stream.shape[1]
            total = total + stream.sum(1, dtype=torch.double)
            last = stream[-1].double()
            for depth, states in enumerate(stream):
                states = states.double()
                square[depth].addmm_(states.T, states)
                if depth < len(cross):
                    cross[depth].addmm_(last.T, states)
        mean = total / count
        # In place and depth by depth: these are the largest things that a fit holds.
        for covariance, own in zip(square.div_(count), mean, strict=True):
            covariance.addr_(own, own, alpha=-1)
        spread = square[-1].diagonal().mean().sqrt().item()
        for root in square[:-1]:
            variance = root.diagonal()
            variance += ridge * variance.mean().clamp(min=1e-12)
            root.copy_(torch.linalg.cholesky(root))
        for shared, own in zip(cross.div_(count), mean, strict=False):
            shared.addr_(mean[-1], own, alpha=-1)
        return cls(mean[:-1], square[:-1], mean[-1], spread, cross)

    def least_squares(self) -> Tensor:
        """The map (depth - 1, channel out, channel) from whitened states to the last depth, centred."""
        pairs = zip(self.root, self.shared, strict=True)
        return torch.stack([solve_triangular(root, own.mT, upper=False).mT.float() for root, own in pairs])

    def whiten(self, stream: Tensor) -> Tensor:
        """Whitened states (depth - 1, token, channel) of a stream (depth, token, channel)."""
        centred = stream[:-1] - self.mean[:, None].to(stream)
        return solve_triangular(self._root.mT, centred, upper=True, left=False)

    @cached_property
    def _root(self) -> Tensor:
        """What every step uses, in the precision of streams."""
        return self.root.float()

    def unwhiten(self, weights: Iterable[Tensor], biases: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps of whitened states, of each depth one, as maps of states."""
        found = []
        for root, mean, weight, bias in zip(self.root, self.mean, weights, biases, strict=True):
            weight = solve_triangular(root, weight.detach().double(), upper=False, left=False)
            found.append((weight.float(), (bias.detach().double() - weight @ mean).float()))
        return tuple(map(torch.stack, zip(*found, strict=True)))


def fit(
    train: Batches,
    validation: Batches,
    decoder: LogitDecoder,
    depths: np.ndarray,
    steps: int,
    learning_rate: float,
    progress: Progress = silent,
) -> DepthMaps:
    """Fit a map for every depth but the last.

    Parameters
    ----------
    train, validation : see `Batches`; a step is one batch, and passes are repeated as needed
    depths : (depth), the last one where the maps lead
    steps : of Adam, its step size falling linearly to nothing
    learning_rate : of Adam, as a share of the spread of the last depth's channels

    Returns
    -------
    DepthMaps, for each depth the best on validation text of trained, least-squares and no map
    """
    n_layers = int(depths[-1])
    training = Training(Whitening.of(train()), decoder, steps, learning_rate)
    start = training.maps(depths)
    for _, stream in zip(progress(range(steps), "steps"), _endless(train), strict=False):
        training.step(stream)
    identity = DepthMaps.identity(depths[:-1], start.bias.shape[1], n_layers)
    return _best([identity, start, training.maps(depths)], validation, decoder)


class Training:
    """Maps of whitened states, the least-squares ones at first, trained by Adam step by step.

    ``steps`` : after so many the step size, which falls linearly, is 0
    ``learning_rate`` : see `fit`
    """

    def __init__(self, whitening: Whitening, decoder: LogitDecoder, steps: int, learning_rate: float):
        self._whitening, self._decoder = whitening, decoder
        self._weight = whitening.least_squares().requires_grad_()
        goal = whitening.target_mean.float()
        self._bias = goal.expand(len(self._weight), 1, -1).clone().requires_grad_()
        step_size = learning_rate * whitening.target_spread
        parameters = [self._weight, self._bias]
        self._adam = torch.optim.Adam(parameters, lr=step_size, betas=(0.9, 0.98), fused=True)
        self._fall = torch.optim.lr_scheduler.LambdaLR(self._adam, lambda step: 1 - step / steps)

    def step(self, stream: Tensor) -> None:
        """Lower the KL of all depths on some tokens' stream (depth, token, channel)."""
        states = torch.baddbmm(self._bias, self._whitening.whiten(stream), self._weight.mT)
        _against_final(self._decoder, stream)(states).mean(-1).sum().backward()
        self._adam.step()
        self._adam.zero_grad(set_to_none=False)
        self._fall.step()

    def maps(self, depths: np.ndarray) -> DepthMaps:
        """The maps of states as they are now, of all but the last of ``depths``."""
        unwhitened = self._whitening.unwhiten(self._weight, self._bias[:, 0])
        return DepthMaps(depths[:-1], *unwhitened, int(depths[-1]))


def _best(candidates: list[DepthMaps], validation: Batches, decoder: LogitDecoder) -> DepthMaps:
    """Of each depth the map with the least KL on validation text, the earlier of equals."""
    chosen = _total_kl(validation(), candidates, decoder).argmin(0).tolist()
    weight = torch.stack([candidates[c].weight[depth].cpu() for depth, c in enumerate(chosen)])
    bias = torch.stack([candidates[c].bias[depth].cpu() for depth, c in enumerate(chosen)])
    return DepthMaps(candidates[0].depths, weight, bias, candidates[0].n_layers)


@torch.no_grad()
def held_out(
    batches: Iterable[tuple[Tensor, Tensor, np.ndarray]],
    maps: DepthMaps,
    decoder: LogitDecoder,
    depths: np.ndarray,
    bootstrap: Bootstrap = OF_REPORT,
) -> xr.Dataset:
    """How well maps do on text they have not seen.

    Parameters
    ----------
    batches : the stream (depth, token, channel), the true next tokens (token), -1 for none, and documents
        (token)
    bootstrap : over documents

    Returns
    -------
    xr.Dataset by depth
        ``kl`` = KL(final ‖ depth), nats, and ``bits`` of the true next token, means over tokens;
        ``kl_logit`` and ``bits_logit`` the same without the maps; each with ``_low`` and ``_high``.
    """
    found = {name: [] for name in ("kl", "kl_logit", "bits", "bits_logit")}
    known, documents = [], []
    for stream, targets, document in batches:
        known.append((targets >= 0).cpu().numpy())
        documents.append(document)
        final = decoder.logits(stream[-1]).softmax(-1)
        negative_entropy = _negative_entropy(final)
        for suffix, carried in (("", maps(stream, depths)), ("_logit", stream)):
            rows = decoder.rows(carried)
            kl, log_total, _ = _kl(rows, decoder, final, negative_entropy)
            bits = (log_total - decoder.logits_at(rows, targets.clamp(min=0))) / math.log(2)
            found["kl" + suffix].append(kl.double().cpu().numpy())
            found["bits" + suffix].append(bits.double().cpu().numpy())
    known, documents = np.concatenate(known), np.concatenate(documents)
    parts = []
    for name, values in found.items():
        some, unit = (slice(None), "nat") if name.startswith("kl") else (known, "bit")
        values = np.concatenate(values, axis=1)[:, some]
        part = bootstrap.estimate(name, np.mean, values, dims=(DEPTH,), clusters=documents[some])
        parts.append(part.drop_vars(f"{name}_n"))
        for end in parts[-1].values():
            end.attrs["units"] = unit
    counted = {"n_tokens": len(known), "n_targets": int(known.sum())}
    counted["n_documents"] = len(np.unique(documents))
    return xr.merge(parts).assign_coords({DEPTH: depths}).assign_attrs(counted)


@torch.no_grad()
def _total_kl(batches: Iterable[Tensor], candidates: list[DepthMaps], decoder: LogitDecoder) -> Tensor:
    """KL(final ‖ depth), summed over tokens, (candidate, depth but the last)."""
    depths = np.append(candidates[0].depths, candidates[0].n_layers)
    total = torch.zeros(len(candidates), len(depths) - 1, dtype=torch.double)
    for stream in batches:
        kl_from_final = _against_final(decoder, stream)
        for of_maps, maps in zip(total, candidates, strict=True):
            of_maps += kl_from_final(maps(stream, depths)[:-1]).double().sum(-1).cpu()
    return total


def _against_final(decoder: LogitDecoder, stream: Tensor) -> Callable[[Tensor], Tensor]:
    """KL(final ‖ decoded), (..., token), of states (..., token, channel), against a stream's last depth."""
    final = decoder.logits(stream[-1]).softmax(-1)
    negative_entropy = _negative_entropy(final)

    def kl_from_final(states: Tensor) -> Tensor:
        return KLFromFinal.apply(decoder.rows(states), decoder, final, negative_entropy)

    return kl_from_final


def _endless(batches: Batches) -> Iterator[Tensor]:
    while True:
        yield from batches()
