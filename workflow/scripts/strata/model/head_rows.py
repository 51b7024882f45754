"""Which rows of attention's first linear maps belong to which head.

Found by trying, since families stack them in many ways: queries, keys and values of all heads in a row, or of
one head after the other, or shared by several.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from strata.model.architecture import Parts

READINGS = ("query", "key", "value")
TRIALS = 64
SHARED = 0.4  # of the largest effect on any head: less is a norm over all heads


def linear_maps(module: nn.Module) -> Iterator[nn.Module]:
    """The linear maps in a module, in their order."""
    return (each for each in module.modules() if isinstance(each, (nn.Linear, Conv1D)))


def head_rows(parts: Parts) -> list[Tensor]:
    """Rows of the linear maps of block 0's attention but the last: (reading, row, head), bool, a map each.

    What the maps make at two positions is replaced by random numbers, and the second position's pattern, and
    what its heads make, are derived by them: by the first position's, a key changes a head's pattern and a
    value what the head makes alone; a query changes the pattern, but only by the second's own. Where several
    heads share a row, it belongs to them all. ``reading`` is in the order of `READINGS`; a row that does none
    of this belongs to nothing.
    """
    attention, values = parts.attentions[0], parts.attention_values[0]
    modules = [module for module in linear_maps(attention) if module is not values]
    generator = torch.Generator().manual_seed(0)
    made: dict[nn.Module, Tensor] = {}
    seen: dict[str, Tensor] = {}

    def replace(module, args, output):
        if module not in made:
            drawn = torch.randn(output.shape, generator=generator, dtype=torch.float32)
            made[module] = drawn.to(output).requires_grad_()
        return made[module]

    def see_pattern(module, args, output):
        seen["pattern"] = output[1]

    def see_heads(module, args):
        seen["heads"] = args[0]

    handles = [module.register_forward_hook(replace) for module in modules]
    handles.append(attention.register_forward_hook(see_pattern))
    handles.append(values.register_forward_pre_hook(see_heads))
    try:
        hidden = parts.embed(torch.zeros(1, 2, dtype=torch.long, device=parts.device))
        made.clear()
        with torch.inference_mode(False), torch.enable_grad():
            parts.run_block(0, hidden.detach().expand(TRIALS, -1, -1).clone(), 0)
            return _of_readings(parts.n_heads, [made[module] for module in modules], **seen)
    finally:
        for handle in handles:
            handle.remove()


def _of_readings(n_heads: int, made: list[Tensor], pattern: Tensor, heads: Tensor) -> list[Tensor]:
    last = pattern[:, :, -1].float()  # (trial, head, position)
    heads = heads.view(TRIALS, 2, n_heads, -1)[:, -1].float()
    weights = torch.randn(heads.shape[-1], generator=torch.Generator().manual_seed(1)).to(heads.device)
    of_pattern = [_effects(last[:, head, 0], made) for head in range(n_heads)]
    of_heads = [_effects(heads[:, head] @ weights, made) for head in range(n_heads)]
    found = []
    for number in range(len(made)):
        on_pattern, on_heads = (
            torch.stack([effects[number] for effects in each], -1) for each in (of_pattern, of_heads)
        )  # (position, row, head)
        own = {"query": on_pattern[1], "key": on_pattern[0], "value": on_heads[0]}
        belongs = {kind: (e > 0) & (e >= SHARED * e.amax(-1, keepdim=True)) for kind, e in own.items()}
        key = belongs["key"].any(-1, keepdim=True)
        found.append(torch.stack([belongs["query"] & ~key, belongs["key"], belongs["value"] & ~key]).cpu())
    return found


def _effects(measured: Tensor, made: list[Tensor]) -> list[Tensor]:
    """Sizes (position, row) of the derivatives of what is measured (trial), over the trials."""
    derived = torch.autograd.grad(measured.sum(), made, retain_graph=True, allow_unused=True)
    pairs = zip(derived, made, strict=True)
    each = [torch.zeros_like(own) if by is None else by for by, own in pairs]
    return [by.float().square().mean(0).sqrt() for by in each]
