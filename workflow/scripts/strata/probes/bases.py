"""Probes and the embedding: how far a probe's rows lie along embeddings, and along their SVD and NMF."""

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import normalize

from strata.names import COMPONENT
from strata.probes.linear import Probe
from strata.probes.names import NMF_COMPONENT
from strata.probes.task import Task
from strata.stats.nmf import factorise
from strata.stats.svd import svd


def alignment(weight: Tensor, rows: Tensor, draws: int, seed: int) -> xr.Dataset:
    """How far a probe's rows lie along the embeddings of their own tokens.

    Both are taken about their mean: a vector added to all rows of either changes no decision. The
    baseline has Gaussian rows of the embeddings' norms in their place.

    Parameters
    ----------
    weight : (class, channel), of a probe
    rows : (class, channel), the embeddings of its tokens
    draws : of the Gaussian matrix
    seed : of the draws

    Returns
    -------
    Dataset without dims
        ``cosine``, mean over classes of the cosine of a probe's row with its own embedding; ``match``,
        share of rows whose own embedding has the largest cosine with them among all; ``random_cosine``,
        ``random_match``, means over the draws, with ``_low`` and ``_high``, the least and the greatest.
    """
    torch_generator = torch.Generator().manual_seed(seed)
    norms = rows.norm(dim=1, keepdim=True)
    cosine, match = _cosine_and_match(weight, rows)
    gaussians = (norms * torch.randn(rows.shape, generator=torch_generator) for _ in range(draws))
    random = np.array([_cosine_and_match(weight, gaussian) for gaussian in gaussians])
    found = {"cosine": cosine, "match": match}
    for name, values in zip(("random_cosine", "random_match"), random.T, strict=True):
        found |= {name: values.mean(), f"{name}_low": values.min(), f"{name}_high": values.max()}
    return xr.Dataset(found)


def _cosine_and_match(weight: Tensor, rows: Tensor) -> tuple[float, float]:
    weight, rows = (normalize(matrix - matrix.mean(0)) for matrix in (weight, rows))
    own = (weight * rows).sum(1)
    return own.mean().item(), len(_matched(weight, rows, own)) / len(rows)


def _matched(weight: Tensor, rows: Tensor, own: Tensor, tile: int = 128) -> Tensor:
    """Which of ``weight`` (class, channel) have no larger product with another's row than ``own`` (class).

    Tile by tile of rows, and only of those that none has beaten yet: random ones are soon out.
    """
    classes = torch.arange(len(rows))
    left = classes
    for others in classes.split(tile):
        products = weight[left] @ rows[others].T
        products[left[:, None] == others] = -torch.inf
        left = left[products.amax(1) <= own[left]]
    return left


def weight_shares(weight: Tensor, right: np.ndarray, directions: np.ndarray) -> xr.Dataset:
    """Shares of a probe's squared Frobenius norm along the embedding's bases, rows about their mean.

    Parameters
    ----------
    weight : (class, channel)
    right : (component, channel), orthonormal: the embedding's right singular vectors
    directions : (nmf_component, channel), of length 1, not orthogonal: their shares overlap

    Returns
    -------
    Dataset
        ``svd_share`` (component), ``nmf_share`` (nmf_component), ``nmf_span``: that along the span of
        all NMF directions. A weight that favours no direction has a share of 1 / channels along each
        and of nmf_components / channels in the span.
    """
    rows = (weight - weight.mean(0)).double().numpy()
    rows = rows / np.linalg.norm(rows)
    span = np.linalg.qr(directions.T)[0]
    return xr.Dataset(
        {
            "svd_share": (COMPONENT, ((rows @ right.T) ** 2).sum(0)),
            "nmf_share": (NMF_COMPONENT, ((rows @ directions.T) ** 2).sum(0)),
            "nmf_span": ((rows @ span) ** 2).sum(),
        }
    )


@dataclass(frozen=True)
class Basis:
    """What a probe is compared with: its tokens' embeddings, and the bases of the embedding matrix."""

    rows: Tensor
    values: np.ndarray
    right: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(cls, matrix: np.ndarray, task: Task, n_components: int, n_tokens: int, seed: int) -> "Basis":
        _, values, right = svd(matrix)
        frequent = task.classes[np.argsort(-task.counts, kind="stable")[:n_tokens]]
        directions = factorise(matrix[frequent], n_components, seed).directions
        return cls(torch.from_numpy(matrix[task.classes]).float(), values, right, directions)

    def relate(self, probe: Probe, draws: int, seed: int) -> xr.Dataset:
        """`alignment` and `weight_shares` of a probe."""
        weight = probe.weight.cpu()
        return alignment(weight, self.rows, draws, seed).merge(
            weight_shares(weight, self.right, self.directions)
        )
