"""Decoders turn a hidden state into logits. Torch alone: no model is loaded to decode.

Every decoder ends in the final norm and the unembedding. `logit` is nothing but these; `tuned` and
`jacobian` first carry the state to the last depth by an affine map of its depth (`DepthMaps`);
`extended` by the last blocks themselves (`strata.lens.extended`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import layer_norm

from strata.names import CHANNEL, DEPTH

WHOLE, PLAIN = "whole", "plain"
CHANNEL_OUT = "channel_out"


@dataclass(frozen=True)
class Norm:
    """LayerNorm, or RMS norm, as parameters: ``gain`` and ``bias`` (channel), ``eps``."""

    kind: Literal["layer", "rms"]
    gain: Tensor
    bias: Tensor | None
    eps: float

    def __call__(self, hidden: Tensor) -> Tensor:
        """Normalise hidden states (..., channel) as the model itself would, in float32."""
        hidden = hidden.float()
        if self.kind == "layer":
            bias = None if self.bias is None else self.bias.float()
            return layer_norm(hidden, hidden.shape[-1:], self.gain.float(), bias, self.eps)
        scale = torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.gain.float() * (hidden * scale)

    def plain(self) -> "Norm":
        """The same without what was learned: gain 1 and no bias."""
        return replace(self, gain=torch.ones_like(self.gain), bias=None)


@dataclass(frozen=True)
class LogitDecoder:
    """The model's own final norm and unembedding: the logit lens (nostalgebraist 2020).

    ``unembedding`` (vocab, channel), ``bias`` (vocab) or None.
    """

    norm: Norm
    unembedding: Tensor
    bias: Tensor | None = None

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocab) of hidden states (..., channel), float32."""
        return torch.nn.functional.linear(self.norm(hidden), self.unembedding, self.bias)

    def to(self, device: str | torch.device) -> "LogitDecoder":
        """The same on another device."""

        def moved(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device)

        norm = replace(self.norm, gain=moved(self.norm.gain), bias=moved(self.norm.bias))
        return LogitDecoder(norm, moved(self.unembedding), moved(self.bias))


@dataclass(frozen=True)
class DepthMaps:
    """An affine map for each of some depths, into the basis of the last depth.

    ``depths`` (map), ascending, below ``n_layers``; ``weight`` (map, channel out, channel);
    ``bias`` (map, channel out). The last depth is where they lead and has none.
    """

    depths: np.ndarray
    weight: Tensor
    bias: Tensor
    n_layers: int

    @classmethod
    def identity(cls, depths: Sequence[float], n_channels: int, n_layers: int) -> "DepthMaps":
        """Maps that change nothing."""
        weight = torch.eye(n_channels).repeat(len(depths), 1, 1)
        return cls(np.asarray(depths, float), weight, torch.zeros(len(depths), n_channels), n_layers)

    def used_at(self, depths: np.ndarray) -> np.ndarray:
        """For each depth the one whose map it takes: its own, else that of the next below.

        Published maps are of whole depths, and some begin at depth 1: what lies below all of them
        takes the lowest. The last depth takes none (its own number stands there).
        """
        below = np.searchsorted(self.depths, depths, side="right") - 1
        return np.where(depths >= self.n_layers, depths, self.depths[below.clip(0)])

    def __call__(self, states: Tensor, depths: np.ndarray) -> Tensor:
        """Carry states (depth, token, channel) of the named ``depths`` to the last depth."""
        index = {depth: i for i, depth in enumerate(self.depths)}
        carried = states.clone()
        for row, used in enumerate(self.used_at(depths)):
            if used < self.n_layers:
                i = index[used]
                carried[row] = states[row] @ self.weight[i].T.to(states) + self.bias[i].to(states)
        return carried

    def to_dataset(self) -> xr.Dataset:
        """Labelled: ``weight`` (depth, channel_out, channel), ``bias`` (depth, channel_out)."""
        return xr.Dataset(
            {
                "weight": ((DEPTH, CHANNEL_OUT, CHANNEL), self.weight.cpu().numpy()),
                "bias": ((DEPTH, CHANNEL_OUT), self.bias.cpu().numpy()),
            },
            coords={DEPTH: self.depths},
            attrs={"n_layers": self.n_layers},
        )

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> "DepthMaps":
        """What `to_dataset` labelled."""
        weight, bias = (torch.from_numpy(dataset[name].values) for name in ("weight", "bias"))
        return cls(dataset[DEPTH].values, weight, bias, int(dataset.attrs["n_layers"]))


def decoder_from(weights: xr.Dataset, norm: str = WHOLE) -> LogitDecoder:
    """The logit decoder of a model from its ``weights.h5``.

    Parameters
    ----------
    norm : ``whole``, the model's final norm; ``plain``, the same without its learned gain and bias,
        as the post words the lens. Plain readouts of the last depth are not the model's own.

    Raises
    ------
    ValueError
        If ``norm`` is neither.
    """

    def tensor(name: str) -> Tensor | None:
        return torch.from_numpy(weights[name].values) if name in weights else None

    if norm not in (WHOLE, PLAIN):
        raise ValueError(f"norm is {WHOLE!r} or {PLAIN!r}, not {norm!r}")
    final = Norm(
        weights.attrs["final_norm_kind"],
        tensor("final_norm_gain"),
        tensor("final_norm_bias"),
        float(weights.attrs["final_norm_eps"]),
    )
    final = final if norm == WHOLE else final.plain()
    return LogitDecoder(final, tensor("unembedding"), tensor("unembedding_bias"))
