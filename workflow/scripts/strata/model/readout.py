"""The model's own readout, final norm and unembedding, from its weights file: no model is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import xarray as xr
from torch import Tensor
from torch.linalg import vecdot

from strata.model.norms import Norm
from strata.products import product

WHOLE, PLAIN = "whole", "plain"


@dataclass(frozen=True)
class LogitDecoder:
    """The model's own final norm and unembedding: the logit lens (nostalgebraist 2020).

    ``unembedding`` (vocab, channel). Some families multiply logits by a ``scale``, which ``bias`` (vocab) or
    None has in it already, and some hold them within ± ``cap`` by a tanh.
    """

    norm: Norm
    unembedding: Tensor
    bias: Tensor | None = None
    scale: float = 1.0
    cap: float | None = None

    def rows(self, hidden: Tensor) -> Tensor:
        """What meets the unembedding's rows: hidden states (..., channel), normed and scaled."""
        rows = self.norm(hidden)
        return rows if self.scale == 1 else rows * self.scale

    def finish_(self, product: Tensor) -> Tensor:
        """From rows times unembedding (..., vocab) to logits, in place: bias and cap."""
        if self.bias is not None:
            product += self.bias
        if self.cap is not None:
            product.div_(self.cap).tanh_().mul_(self.cap)
        return product

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocab) of hidden states (..., channel), float32."""
        return self.finish_(product(self.rows(hidden), self.unembedding))

    def logits_at(self, rows: Tensor, ids: Tensor) -> Tensor:
        """Logits (..., token) of an entry each, ``ids`` (token); of `rows` (..., token, channel)."""
        some = self if self.bias is None else replace(self, bias=self.bias[ids])
        return some.finish_(vecdot(rows, self.unembedding[ids]))

    def pieces(self, size: int) -> Iterator[tuple[slice, "LogitDecoder"]]:
        """The same of so many entries of the vocabulary at a time, and which these are."""
        for start in range(0, len(self.unembedding), size):
            piece = slice(start, start + size)
            bias = None if self.bias is None else self.bias[piece]
            yield piece, replace(self, unembedding=self.unembedding[piece], bias=bias)

    def to(self, device: str | torch.device) -> "LogitDecoder":
        """The same on another device."""

        def moved(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device)

        norm = replace(self.norm, gain=moved(self.norm.gain), bias=moved(self.norm.bias))
        return replace(self, norm=norm, unembedding=moved(self.unembedding), bias=moved(self.bias))


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
    told, bias = weights.attrs, tensor("unembedding_bias")
    scale = float(told.get("logit_scale", 1))
    final = Norm(
        told["final_norm_kind"],
        tensor("final_norm_gain"),
        tensor("final_norm_bias"),
        float(told["final_norm_eps"]),
    )
    return LogitDecoder(
        final if norm == WHOLE else final.plain(),
        tensor("unembedding"),
        None if bias is None else bias * scale,
        scale,
        float(told["logit_cap"]) if "logit_cap" in told else None,
    )
