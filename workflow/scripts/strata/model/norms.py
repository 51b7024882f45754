"""Norms as parameters: what a model's own norm does, without the model."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import layer_norm


@dataclass(frozen=True)
class Norm:
    """LayerNorm, RMS norm or none at all, as parameters: ``gain`` and ``bias`` (channel), ``eps``."""

    kind: Literal["layer", "rms", "none"]
    gain: Tensor
    bias: Tensor | None
    eps: float

    def __call__(self, hidden: Tensor) -> Tensor:
        """Normalise hidden states (..., channel) as the model itself would, in float32."""
        hidden = hidden.float()
        if self.kind == "none":
            return hidden
        if self.kind == "layer":
            bias = None if self.bias is None else self.bias.float()
            return layer_norm(hidden, hidden.shape[-1:], self.gain.float(), bias, self.eps)
        scale = torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.gain.float() * (hidden * scale)

    def pulled_back(self, direction: Tensor, state: Tensor) -> Tensor:
        """What a direction behind the norm (..., channel) is before it, with the divisor that a state has.

        So that direction · (norm(state) − bias) = pulled_back(direction, state) · state, and a sum of parts
        that makes up the state is one of parts of the norm's output.
        """
        if self.kind == "none":
            return direction
        direction = direction * self.gain.to(direction)
        if self.kind == "layer":
            direction = direction - direction.mean(-1, keepdim=True)
            state = state - state.mean(-1, keepdim=True)
        return direction * torch.rsqrt(state.pow(2).mean(-1, keepdim=True) + self.eps)

    def plain(self) -> "Norm":
        """The same without what was learned: gain 1 and no bias."""
        return replace(self, gain=torch.ones_like(self.gain), bias=None)
