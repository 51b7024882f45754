"""Decoders turn a hidden state into logits. Torch alone: no model is loaded to decode."""

from dataclasses import dataclass
from typing import Literal

import torch
import xarray as xr
from torch import Tensor
from torch.nn.functional import layer_norm


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


def decoder_from(weights: xr.Dataset) -> LogitDecoder:
    """The logit decoder of a model from its ``weights.h5``."""

    def tensor(name: str) -> Tensor | None:
        return torch.from_numpy(weights[name].values) if name in weights else None

    norm = Norm(
        weights.attrs["final_norm_kind"],
        tensor("final_norm_gain"),
        tensor("final_norm_bias"),
        float(weights.attrs["final_norm_eps"]),
    )
    return LogitDecoder(norm, tensor("unembedding"), tensor("unembedding_bias"))
