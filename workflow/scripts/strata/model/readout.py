"""The model's own readout, final norm and unembedding, from its weights file: no model is loaded."""

from dataclasses import dataclass, replace

import torch
import xarray as xr
from torch import Tensor

from strata.model.norms import Norm

WHOLE, PLAIN = "whole", "plain"


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
