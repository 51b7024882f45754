"""Groups of an MLP's neurons by how much each adds in the clean run, and a group of as many at random.

What an MLP adds to the stream is a sum over its neurons, of activation times column (Geva et al. 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from strata.stats.seeding import generator


@dataclass(frozen=True)
class NeuronGroups:
    """Neurons of a layer at one position, in ``n_groups`` of equal number, the largest first.

    What counts is the size of what a neuron adds in the clean run: its activation's times that of its column
    of the MLP's last linear map. ``sizes`` has the latter by layer, (neuron). One more group, the last, is as
    large as the first and drawn at random among all neurons, again for each prompt, layer and position: draws
    depend on ``seed`` and on these alone.
    """

    sizes: Sequence[Tensor]
    n_groups: int
    seed: int

    def members(self, active: Tensor, layer: int, position: int, ids: Sequence[Sequence[int]]) -> Tensor:
        """Which neurons belong to each group.

        Parameters
        ----------
        active : (prompt, neuron), activations of the clean run
        ids : (prompt, position), the prompts' tokens

        Returns
        -------
        Tensor (group, prompt, neuron), bool
        """
        n, device = active.shape[1], active.device
        added = active.float().abs() * self.sizes[layer].to(device)
        order = added.argsort(dim=1, descending=True, stable=True)
        members = torch.zeros(self.n_groups + 1, *active.shape, dtype=torch.bool, device=device)
        members[:-1].scatter_(0, self._number(order), True)
        for row, tokens in enumerate(ids):
            drawn = generator(self.seed, layer, position, *tokens).permutation(n)[: -(-n // self.n_groups)]
            members[-1, row, torch.from_numpy(drawn).to(device)] = True
        return members

    def _number(self, order: Tensor) -> Tensor:
        """The number of each neuron's group (1, prompt, neuron), from neurons by size."""
        n = order.shape[1]
        numbers = torch.arange(n, device=order.device) * self.n_groups // n
        return torch.empty_like(order).scatter_(1, order, numbers.expand_as(order))[None]
