"""Linear probes: classifiers of hidden states, in closed form and refined by gradient."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from strata.products import product

FLOOR = 1e-8
"""Added to the covariance, of the states' mean variance: without positions a token is but one state."""

RANK = 1e-10
"""Of the largest variance: what varies less is rounding (a norm's mean over channels, say)."""

BATCH = 256
STEP = 0.5
"""Adam's first step over the root of the number of channels: a logit moves about as far in any model."""


@dataclass(frozen=True)
class Probe:
    """A linear classifier: the class of the largest ``weight @ state + bias``.

    ``classes`` (class): token ids, ascending; ``weight`` (class, channel), ``bias`` (class), float32.
    """

    classes: np.ndarray
    weight: Tensor
    bias: Tensor

    def __call__(self, states: Tensor, tile: int = 1024) -> Tensor:
        """Index in ``classes`` (token) said of states (token, channel), ``tile`` tokens at a time."""
        scores = (product(rows, self.weight, self.bias) for rows in states.split(tile))
        return torch.cat([score.argmax(1) for score in scores])


@dataclass(frozen=True)
class Moments:
    """Sums over labelled states, all that the closed form needs; those of several depths add up.

    ``count`` (class); ``total`` (class, channel), the states' sum; ``product`` (channel, channel), the
    sum of their outer products; float64.
    """

    count: Tensor
    total: Tensor
    product: Tensor

    @classmethod
    def of(
        cls,
        states: Tensor,
        labels: Tensor,
        n_classes: int,
        product: Tensor | None = None,
        tile: int = 8192,
    ) -> "Moments":
        """Sums over states (token, channel) with labels (token) in 0..n_classes - 1.

        ``product`` is that of the same states with other labels, if it is known: it takes the most time.
        """
        total = states.new_zeros(n_classes, states.shape[1], dtype=torch.float64)
        for rows, to in zip(states.split(tile), labels.split(tile), strict=True):
            total.index_add_(0, to, rows.double())
        product = outer_products(states, tile) if product is None else product
        return cls(torch.bincount(labels, minlength=n_classes).double(), total, product)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.product + other.product)

    @property
    def n(self) -> float:
        """How many states."""
        return self.count.sum().item()

    @property
    def centre(self) -> Tensor:
        """Mean state (channel)."""
        return self.total.sum(0) / self.n

    @property
    def covariance(self) -> Tensor:
        """Covariance of all states about their mean (channel, channel)."""
        return self.product / self.n - torch.outer(self.centre, self.centre)


def outer_products(states: Tensor, tile: int = 8192) -> Tensor:
    """Sum over states (token, channel) of their outer products (channel, channel), float64."""
    product = states.new_zeros(states.shape[1], states.shape[1], dtype=torch.float64)
    for rows in states.split(tile):
        rows = rows.double()
        product.addmm_(rows.T, rows)
    return product


def oas_shrinkage(covariance: Tensor, n: float) -> float:
    """Oracle approximating shrinkage towards the mean variance (Chen et al. 2010, equation 23).

    scikit-learn's ``oas`` needs the samples themselves; this needs only their covariance and number.
    """
    n_channels = len(covariance)
    mean_square = covariance.pow(2).mean().item()
    square_mean = (covariance.trace().item() / n_channels) ** 2
    spread = (n + 1) * (mean_square - square_mean / n_channels)
    return min(1.0, (mean_square + square_mean) / spread) if spread > 0 else 1.0


def fit(moments: Moments, classes: np.ndarray, shrinkage: float | None = None) -> Probe:
    """Linear discriminant analysis: Gaussian classes with means of their own and one covariance.

    The class of the largest x·S⁻¹μ - μ·S⁻¹μ / 2 + log π, where S is the pooled covariance within
    classes. Every class's samples go into S, so a class needs but one sample to have a mean and a
    row: that suits thousands of tokens most of which are rare. The cost is that of the sums, and of
    one solve with S.

    Parameters
    ----------
    moments : of the states, every class at least once
    classes : token ids (class), ascending
    shrinkage : of S towards its mean variance, in [0, 1]; `oas_shrinkage` if not given

    Raises
    ------
    ValueError
        If no class has two samples, so that there is no spread within classes.
    """
    freedom = moments.n - len(moments.count)
    if freedom <= 0:
        raise ValueError("no class has two samples: the spread within classes is unknown")
    means = moments.total / moments.count[:, None]
    within = (moments.product - moments.total.T @ means) / freedom
    identity = torch.eye(len(within)).to(within)
    within = within + FLOOR * moments.covariance.diagonal().mean() * identity
    if shrinkage is None:
        shrinkage = oas_shrinkage(within, freedom)
    within = (1 - shrinkage) * within + shrinkage * within.diagonal().mean() * identity

    # What all classes share decides nothing; without it the rows are about their own mean.
    means = means - moments.centre
    weight = torch.linalg.solve(within, means.T).T
    bias = (moments.count / moments.n).log() - (weight * means).sum(1) / 2 - weight @ moments.centre
    return Probe(classes, weight.float(), bias.float())


@torch.no_grad()
def refine(probe: Probe, moments: Moments, states: Tensor, labels: Tensor, epochs: int, seed: int) -> Probe:
    """Logistic regression from a probe on: a few passes that lower the cross entropy of its softmax.

    States of one token are many clouds rather than one Gaussian, the more so the token to come: where
    the closed form leaves something to gain, one pass brings most of it. Adam, its step falling to
    nothing, in coordinates in which the states are uncorrelated and of one variance.

    Parameters
    ----------
    probe, moments : the beginning, and the sums it was fitted from
    states : (token, channel)
    labels : (token), index of the class
    epochs : passes over them
    seed : of their order
    """
    values, vectors = torch.linalg.eigh(moments.covariance)
    vectors, scale = vectors[:, values > RANK * values[-1]], values[values > RANK * values[-1]].sqrt()
    whitener, centre = (vectors / scale).float().T.contiguous(), moments.centre
    weight = (probe.weight.double() @ (vectors * scale)).float()
    bias = (probe.bias.double() + probe.weight.double() @ centre).float()

    torch_generator = torch.Generator().manual_seed(seed)
    order = torch.cat([torch.randperm(len(states), generator=torch_generator) for _ in range(epochs)])
    batches = order.to(states.device).split(BATCH)
    optimizer = torch.optim.Adam([weight, bias], STEP / len(scale) ** 0.5, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, len(batches))
    for batch in batches:
        whitened = product(states[batch] - centre.float(), whitener)
        # The gradient of the mean cross entropy with respect to the logits: what is said less what is so.
        excess = product(whitened, weight, bias).softmax(1) / len(batch)
        excess[torch.arange(len(batch), device=excess.device), labels[batch]] -= 1 / len(batch)
        weight.grad, bias.grad = product(excess.T, whitened.T), excess.sum(0)
        optimizer.step()
        schedule.step()
    weight = weight.double() @ (vectors / scale).T
    return Probe(probe.classes, weight.float(), (bias.double() - weight @ centre).float())


def fit_better(
    moments: Moments,
    classes: np.ndarray,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    epochs: int,
    seed: int,
) -> tuple[Probe, bool]:
    """The closed form, or its refinement if that is right about more of what it was not fitted on.

    Parameters
    ----------
    moments, classes : as for `fit`
    train, validation : states (token, channel) and the indices of their classes (token); -1 in
        validation is a class that was never trained
    epochs, seed : as for `refine`; 0 epochs leave the closed form

    Returns
    -------
    probe
    refined : whether it is the refinement
    """
    closed = fit(moments, classes)
    states, index = validation
    n_right, n_known = (closed(states) == index).sum(), (index >= 0).sum()
    if not epochs or n_right == n_known:  # nothing to gain
        return closed, False
    refined = refine(closed, moments, *train, epochs, seed)
    return (refined, True) if (refined(states) == index).sum() > n_right else (closed, False)
