"""Attention by distance, and what of it positions explain: all of it, and rotary positions alone.

Where positions are rotary (Su et al. 2021), a head's logit is qᵀR(d)k: positions enter by the distance d from
query back to key alone. Were content the same everywhere, logits would be one sum of waves of the rotary
frequencies, and a head could only look back by fixed distances. How near heads come to that is measured here.

A pattern tells logits but for what all keys of a query share: log attention less its mean over the distances
that are compared is the logit less its mean. Of the variance of these over all queries and distances,

- *explained by distance*: the variance of their mean at each distance, whatever it comes from;
- *explained by rotation*: their squared correlation (0 if it is negative) with the logits that the model
  itself makes where every position holds the mean of what attention reads. There is no content then, and
  what tells keys apart is what attention adds of positions: rotary angles, or a bias such as ALiBi's.

Both are 1 for a head that no content moves, and 0 for one that goes by content alone; the second is at most
the first. What lies between them is content that goes with distance: neighbours alike, a token like itself.
A correlation is taken because only the shape can be compared: queries cancel in their mean, and models that
norm queries and keys make it as long as any. It is undefined where positions are in what attention reads, as
learned ones are, and not in attention.
"""

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from strata.attention.names import DISTANCE
from strata.model.architecture import Parts, reading
from strata.model.capture import watching
from strata.names import HEAD, LAYER
from strata.stats.bootstrap import Bootstrap

FARTHEST = 64
"""Tokens back that are compared at most; texts are not much longer."""

GROUPS = 50
"""Of texts, dealt out in turn, which intervals draw again: sums by text would not fit in memory."""

FEWEST_QUERIES = 0.1
"""Of all queries, how many have to have that many keys behind them; fewer distances are compared if not."""


class ByDistance:
    """What a model's heads do by distance, summed while texts pass, in `GROUPS` groups of them.

    Queries count that have every distance behind them, so that all distances are seen by the same queries;
    no key among the ``skip`` first positions does, which are attended to for other reasons.

    Parameters
    ----------
    lengths : of all the texts that will pass, in tokens
    skip : first positions that are left out; at least one text is longer
    """

    def __init__(self, parts: Parts, lengths: Sequence[int], skip: int):
        self._parts, self._lengths, self._skip = parts, lengths, skip
        self._farthest = farthest(lengths, skip)
        device = parts.device
        self._back = torch.arange(self._farthest + 1, device=device)
        shape = (parts.n_layers, parts.n_heads, min(GROUPS, len(lengths)), self._farthest + 1)
        double = {"dtype": torch.float64, "device": device}
        self._attention, self._logits, self._seen = torch.zeros(3, *shape, **double)
        self._squares = torch.zeros(*shape[:2], **double)
        self._read = torch.zeros(parts.n_layers, parts.n_channels, **double)

    def see_read(self, layer: int, states: Tensor, present: Tensor) -> None:
        """What attention reads (row, position, channel), and where that is no padding (row, position)."""
        late = slice(self._skip, None)
        self._read[layer] += (states[:, late].double() * present[:, late, None]).sum((0, 1))

    def see_pattern(self, layer: int, patterns: Tensor, present: Tensor, which: Sequence[int]) -> None:
        """Patterns (row, head, query, key); where queries are no padding (row, query); which texts (row)."""
        queries = torch.arange(patterns.shape[-1], device=patterns.device)[self._skip + self._farthest :]
        if not len(queries):
            return
        behind = patterns[:, :, queries[:, None], queries[:, None] - self._back].float()
        present = present[:, queries]
        behind = behind.transpose(0, 1)[:, present]  # (head, query, distance)
        group = torch.as_tensor(which, device=behind.device) % self._seen.shape[2]
        group = group[:, None].expand(present.shape)[present]
        logits = _centred(behind.log())
        self._attention[layer].index_add_(1, group, behind.double())
        self._logits[layer].index_add_(1, group, logits.nan_to_num().double())
        self._seen[layer].index_add_(1, group, logits.isfinite().double())
        self._squares[layer] += logits.square().nansum((1, 2), dtype=torch.float64)

    def result(self, bootstrap: Bootstrap) -> xr.Dataset:
        """What was seen. ``bootstrap`` draws groups of texts.

        Returns
        -------
        Dataset
            By (layer, head, distance): ``attention_by_distance``, mean attention; ``logit_by_distance``,
            mean logit less that of all distances (nat), each with ``_low`` and ``_high``;
            ``logit_without_content``, the latter where every position holds the mean content. A key that gets
            no attention at all, behind the end of a window above all, has no logit: NaN where that is so of
            all. ``explained_by_distance``, ``explained_by_rotation`` (layer, head): shares of the logits'
            variance, NaN where there is none, and the latter where logits without content are all the same.
            ``n_queries``; ``n_groups`` of texts.
        """
        n_queries = _beyond(self._lengths, self._skip + self._farthest)
        logits, seen = self._logits.sum(2), self._seen.sum(2)
        alone = self._without_content(self._read / _beyond(self._lengths, self._skip))
        alone = _centred(alone.where(seen > 0, torch.nan))
        waves = (seen * alone.square()).nansum(-1)
        flat = waves <= torch.finfo(self._parts.model.dtype).eps * seen.sum(-1)
        together = (logits * alone).nansum(-1).clamp(min=0)
        explained = {
            "explained_by_distance": (logits.square() / seen).nansum(-1) / self._squares,
            "explained_by_rotation": (together.square() / (self._squares * waves)).where(~flat, torch.nan),
        }
        dims = (LAYER, HEAD, DISTANCE)
        curves = [
            self._mean("attention_by_distance", self._attention, self._queries(), bootstrap),
            self._mean("logit_by_distance", self._logits, self._seen, bootstrap),
        ]
        others = (
            {name: (dims[:2], values.cpu().numpy()) for name, values in explained.items()}
            | {"logit_without_content": (dims, alone.cpu().numpy())}
            | {"n_queries": n_queries, "n_groups": self._seen.shape[2]}
        )
        distances = {DISTANCE: np.arange(self._farthest + 1)}
        return xr.merge(curves).assign(others).assign_coords(distances)

    def _queries(self) -> Tensor:
        """How many queries of each group count, (group, 1)."""
        n_groups, first = self._seen.shape[2], self._skip + self._farthest
        return torch.tensor([[_beyond(self._lengths[group::n_groups], first)] for group in range(n_groups)])

    @staticmethod
    def _mean(name: str, sums: Tensor, sizes: Tensor, bootstrap: Bootstrap) -> xr.Dataset:
        """Means over queries of sums (layer, head, group, distance), of as many as ``sizes`` says."""
        sums, sizes = (values.double().cpu().numpy().swapaxes(-1, -2) for values in (sums, sizes))
        found = bootstrap.of_totals(name, sums, sizes, (LAYER, HEAD, DISTANCE))
        return found.drop_vars(f"{name}_n")

    def _without_content(self, content: Tensor) -> Tensor:
        """Log attention (layer, head, distance) where a layer reads the same (layer, channel) everywhere."""
        parts, found = self._parts, torch.empty_like(self._logits[:, :, 0])

        def see(layer: int, patterns: Tensor) -> None:
            found[layer] = patterns[0, :, -1].flip(-1)[:, self._back].double().log()

        ids = torch.zeros(1, self._skip + self._farthest + 1, dtype=torch.long, device=content.device)
        with ExitStack() as stack:
            for attention, states in zip(parts.attentions, content, strict=True):
                stack.enter_context(reading(attention, states))
            stack.enter_context(watching(parts, attention=see))
            parts.model.base_model(input_ids=ids, use_cache=False)
        return found


def farthest(lengths: Sequence[int], skip: int) -> int:
    """The distances that texts of some lengths can compare: 64, or less by halves, down to 0."""
    distance = FARTHEST
    while _beyond(lengths, skip + distance) < FEWEST_QUERIES * _beyond(lengths, skip):
        distance //= 2
    return distance


def _beyond(lengths: Sequence[int], position: int) -> int:
    """How many tokens there are from a position on."""
    return sum(max(0, n - position) for n in lengths)


def _centred(logits: Tensor) -> Tensor:
    """Less their mean over the last dimension; NaN where attention is nothing, which makes no logit."""
    logits = logits.where(logits.isfinite(), torch.nan)
    return logits - logits.nanmean(-1, keepdim=True)
