"""What a decoder does before the model's own readout (`strata.model.readout`).

`logit` does nothing; `tuned` and `jacobian` carry the state to the last depth by an affine map of its
depth (`DepthMaps`); `extended` by the last blocks themselves (`strata.lens.extended`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from strata.names import CHANNEL, DEPTH
from strata.products import product

CHANNEL_OUT = "channel_out"


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
                carried[row] = product(states[row], self.weight[i].to(states), self.bias[i].to(states))
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
