"""How a model calls its blocks: with which mask, positions and biases, observed and not rebuilt.

A mask, rotary angles of one base or of several, ALiBi: families differ in what their blocks are given, and
layers in which of it. The model itself knows. It is given a text of the length that is asked for, and what it
calls each block with is kept; the blocks themselves do not run.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import DynamicCache

Call = tuple[tuple, dict[str, Any]]
"""What a block is called with beside the hidden states."""


class Before(DynamicCache):
    """A cache that says it holds the keys and values of ``length`` positions; all of them are 0."""

    def __init__(self, length: int):
        super().__init__()
        self.length = length

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.length

    def get_query_offset(self, layer_idx: int = 0) -> int:
        return self.length

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def update(self, keys: Tensor, values: Tensor, *_args, **_kwargs) -> tuple[Tensor, Tensor]:
        before = (0, 0, self.length, 0)
        return pad(keys, before), pad(values, before)


class BlockCalls:
    """The calls of a model's blocks, made out once for every stretch of positions."""

    def __init__(self, model: nn.Module, blocks: Sequence[nn.Module]):
        self._model, self._blocks = model, blocks
        self._observed = lru_cache(maxsize=128)(self._observe)

    def of(self, layer: int, start: int, length: int, n_rows: int, past: Any = None) -> Call:
        """What a block is called with for ``length`` positions from ``start`` on, in ``n_rows`` rows.

        ``past`` is put in the place of the cache.
        """
        args, kwargs = self._observed(start, length)[layer]

        def fit(value: Any) -> Any:
            if isinstance(value, Before):
                return past
            if isinstance(value, tuple | list):
                return type(value)(map(fit, value))
            if isinstance(value, Tensor) and value.dim() > 2:
                # More than one entry for one row: heads are folded into rows (ALiBi).
                folded = len(value) > 1
                others = value.dim() - 1
                return value.repeat(n_rows, *[1] * others) if folded else value.expand(n_rows, *[-1] * others)
            return value

        return fit(args), {name: fit(value) for name, value in kwargs.items()}

    @torch.inference_mode(False)
    @torch.no_grad()
    def _observe(self, start: int, length: int) -> list[Call]:
        calls: list[Call] = []

        def stand_in(*args, **kwargs) -> tuple[Tensor]:
            hidden = args[0] if args else kwargs.pop("hidden_states")
            calls.append((args[1:], kwargs))
            if len(calls) == len(self._blocks):
                raise _AllSeen
            # A tuple serves models that take its first entry, and those that hand on what they got.
            return hidden if isinstance(hidden, tuple) else (hidden,)

        ids = torch.zeros(1, length, dtype=torch.long, device=self._model.device)
        cached = {"past_key_values": Before(start), "use_cache": True} if start else {"use_cache": False}
        with ExitStack() as stack, suppress(_AllSeen):
            for block in self._blocks:
                stack.enter_context(_standing_in(block, stand_in))
            self._model.base_model(input_ids=ids, **cached)
        return calls


class _AllSeen(Exception):
    """The last block has been called."""


@contextmanager
def _standing_in(module: nn.Module, forward: Callable) -> Iterator[None]:
    """While open, a module runs another function."""
    own = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own
