"""How strongly each sub-block reads each channel of the residual stream, and writes it: sizes of weights."""

from collections.abc import Iterator, Sequence

import torch
from accelerate.utils import align_module_device
from torch import Tensor, nn

from strata.model.architecture import Parts
from strata.model.head_rows import READINGS, head_rows, linear_maps
from strata.model.weights import norm_parameters

READS_AND_WRITES = ("attention reads", "attention writes", "MLP reads", "MLP writes")


@torch.no_grad()
def slice_sizes(parts: Parts) -> tuple[Tensor, Tensor]:
    """Norms of the weights that meet a channel.

    A sub-block reads a channel by the column of its first linear maps, of queries, keys and values together
    and of all MLP keys (and gates) together, times the gain of the norm before it; it writes by the row of
    its last, times the gain of a norm after it, if there is one. Where norms act on the stream itself, their
    gains belong to no sub-block and are left out.

    Returns
    -------
    sizes : (part, layer, channel), in the order of `READS_AND_WRITES`
    by_head : (layer, head, channel), of what each head writes

    NaN where weights are not in memory, or maps are not of the stream's width.
    """
    sizes, by_head = zip(*(_of_layer(parts, layer) for layer in range(parts.n_layers)), strict=True)
    return torch.stack(sizes, 1), torch.stack(by_head)


@torch.no_grad()
def head_reads(parts: Parts) -> Tensor:
    """How strongly each head reads each channel: (reading, layer, head, channel), of `READINGS`.

    The norm of the weights that make its queries, keys or values from the channel, times the gain of the norm
    before attention. Keys and values that several heads share count for each. NaN as in `slice_sizes`.
    """
    rows = [own.float() for own in head_rows(parts)]

    def of_layer(layer: int) -> Tensor:
        last = parts.attention_values[layer]
        maps = [weight for module, weight in _maps(parts.attentions[layer]) if module is not last]
        if [len(weight) for weight in maps] != [own.shape[1] for own in rows]:
            return torch.full((len(READINGS), parts.n_heads, parts.n_channels), torch.nan)
        met = [(o, w) for o, w in zip(rows, maps, strict=True) if w.shape[1] == parts.n_channels]
        squares = sum(torch.einsum("krh,rc->khc", own, weight.square()) for own, weight in met)
        return squares.sqrt() * _gains_before(parts, layer)[0]

    return torch.stack([of_layer(layer) for layer in range(parts.n_layers)], 1)


@torch.no_grad()
def key_sizes(parts: Parts, layer: int) -> Tensor:
    """How strongly each key of an MLP reads each channel and writes it: (direction, key, channel).

    It reads by its row of the first linear map, or of key and gate together, times the gain of the norm
    before the MLP; it writes by its column of the last, times the gain of a norm after it. NaN as in
    `slice_sizes`, and for first maps that hold more than one row a key.
    """
    values = parts.mlp_values[layer]
    _, last = next(_maps(values))
    written = last.T * _gain(parts.mlp_outs[layer], parts)
    maps = [weight for module, weight in _maps(parts.mlps[layer]) if module is not values]
    own = [weight for weight in maps if weight.shape == written.shape]
    read = sum(map(torch.square, own)).sqrt() if own else torch.full_like(written, torch.nan)
    return torch.stack([read * _gains_before(parts, layer)[1], written.abs()])


@torch.no_grad()
def written_sizes(parts: Parts, layer: int) -> Tensor:
    """Size (neuron) of what each of an MLP's neurons adds to the stream for a unit of its activation.

    The norm of its column of the last linear map, times the gain of a norm after it, if there is one.
    """
    values, out = parts.mlp_values[layer], parts.mlp_outs[layer]
    with align_module_device(values), align_module_device(out):
        _, weight = next(_maps(values))
        return (weight * _gain(out, parts)[:, None]).norm(dim=0)


def _of_layer(parts: Parts, layer: int) -> tuple[Tensor, Tensor]:
    """Sizes (part, channel), and those of what heads write (head, channel)."""
    n = parts.n_channels
    *first, last = (weight for _, weight in _maps(parts.attentions[layer]))
    values = parts.mlp_values[layer]
    keys = [weight for module, weight in _maps(parts.mlps[layer]) if module is not values]
    (_, value) = next(_maps(values))
    before = _gains_before(parts, layer)
    after = [_gain(outs[layer], parts) for outs in (parts.attention_outs, parts.mlp_outs)]
    by_head = torch.full((parts.n_heads, n), torch.nan)
    if last.shape[0] == n and last.shape[1] % parts.n_heads == 0:
        by_head = last.unflatten(1, (parts.n_heads, -1)).norm(dim=2).T * after[0]
    written = _size([value.T], n) * after[1]
    sizes = [_size(first, n) * before[0], by_head.norm(dim=0), _size(keys, n) * before[1], written]
    return torch.stack(sizes), by_head


def _gains_before(parts: Parts, layer: int) -> list[Tensor]:
    """Sizes (channel) of the gains of the norms before attention and before the MLP."""
    norms2 = parts.norm2s or (parts.norm1s if parts.parallel else ())
    return [_gain(norms[layer] if norms else None, parts) for norms in (parts.norm1s, norms2)]


def _size(maps: Sequence[Tensor], n_channels: int) -> Tensor:
    """Norm (channel) of all columns that meet a channel, of maps (out, channel)."""
    met = [weight for weight in maps if weight.shape[1] == n_channels]
    return torch.cat(met).norm(dim=0) if met else torch.full((n_channels,), torch.nan)


def _gain(module: nn.Module | None, parts: Parts) -> Tensor:
    """Size (channel) of a norm's gain; 1 where there is no norm, or it acts on the stream itself."""
    weight = getattr(module, "weight", None)
    if parts.post_norm or weight is None or weight.ndim != 1:
        return torch.ones(parts.n_channels)
    return norm_parameters(module).gain.float().abs().cpu()


def _maps(module: nn.Module) -> Iterator[tuple[nn.Module, Tensor]]:
    """The linear maps in a module, in their order, each with its weight (out, in)."""
    for each in linear_maps(module):
        weight = each.weight if isinstance(each, nn.Linear) else each.weight.T
        # What waits on disk for its block to run is not read here.
        yield each, torch.full(weight.shape, torch.nan) if weight.is_meta else weight.float().cpu()
