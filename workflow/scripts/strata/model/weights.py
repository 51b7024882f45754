"""The weights that say something by themselves, as a labelled file keeps them."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache
from itertools import product

import torch
import xarray as xr
from torch import Tensor, nn
from transformers import PreTrainedModel

from strata.model.architecture import Parts, find_parts
from strata.model.families import UnknownArchitecture
from strata.model.norms import Norm
from strata.names import CHANNEL, LAYER, POSITION, TOKEN_ID, TOKEN_STR, VOCAB


def weights(model: PreTrainedModel, token_strings: Callable[[list[int]], list[str]]) -> xr.Dataset:
    """The weights that say something by themselves, labelled, float32.

    Embeddings are as the model keeps them; those with fewer channels than the residual stream go through the
    model's projections. What else becomes of an embedding before block 0 (Gemma's factor √channels, BLOOM's
    norm) is in depth 0 but not in ``token_embedding``: its rows are those that a tied unembedding has. A gain
    is what a norm multiplies with: of a norm that multiplies with 1 + w, that.

    Returns
    -------
    xr.Dataset
        ``token_embedding``, ``unembedding`` (vocab, channel), ``unembedding_bias`` (vocab),
        ``position_embedding`` (position, channel; absent where positions are rotary, a bias, or a fixed
        function), ``final_norm_gain``, ``final_norm_bias`` (channel), ``norm1_gain``, ``norm2_gain``
        (layer, channel; of the norms before attention and before the MLP; absent where there is none);
        coordinates ``token_id``, ``token_str`` (vocab); attributes ``n_layers``, ``final_norm_kind``
        ("layer", "rms", "none"), ``final_norm_eps``, ``logit_scale``, and ``logit_cap`` if there is one.
    """
    parts = find_parts(model)
    norm = norm_parameters(parts.final_norm, parts.n_channels)
    embedding, unembedding = parts.token_embedding.weight, parts.unembedding.weight
    if parts.project_in is not None:
        embedding = parts.project_in(embedding)
    if parts.project_out is not None:
        unembedding = unembedding @ parts.project_out.weight
    ids = list(range(len(embedding)))
    fields = {
        "token_embedding": ((VOCAB, CHANNEL), embedding),
        "unembedding": ((VOCAB, CHANNEL), unembedding),
        "unembedding_bias": ((VOCAB,), parts.unembedding.bias),
        "position_embedding": ((POSITION, CHANNEL), parts.position_rows),
        "final_norm_gain": ((CHANNEL,), norm.gain),
        "final_norm_bias": ((CHANNEL,), norm.bias),
        "norm1_gain": ((LAYER, CHANNEL), _gains(parts, parts.norm1s)),
        "norm2_gain": ((LAYER, CHANNEL), _gains(parts, parts.norm2s)),
    }
    attributes = {
        "n_layers": parts.n_layers,
        "final_norm_kind": norm.kind,
        "final_norm_eps": norm.eps,
        "logit_scale": parts.logit_scale,
    }
    if parts.logit_cap is not None:
        attributes["logit_cap"] = parts.logit_cap
    as_array = cache(lambda values: values.detach().float().cpu().numpy())  # what is tied stays one array
    return xr.Dataset(
        {name: (dims, as_array(values)) for name, (dims, values) in fields.items() if values is not None},
        coords={TOKEN_ID: (VOCAB, ids), TOKEN_STR: (VOCAB, token_strings(ids))},
        attrs=attributes,
    )


def _gains(parts: Parts, norms: Sequence[nn.Module]) -> Tensor | None:
    """Gains (layer, channel) of norms before sub-blocks; None where there are none, or none is learned."""
    if parts.post_norm or not any(getattr(norm, "weight", None) is not None for norm in norms):
        return None
    return torch.stack([norm_parameters(norm).gain.float() for norm in norms])


@torch.no_grad()
def norm_parameters(module: nn.Module, n_channels: int | None = None) -> Norm:
    """The parameters of a norm, found by trying it: families write one and the same norm in many ways.

    Its gain is its weight, or 1 + its weight, or 1 where it has none; it centres or does not.

    Parameters
    ----------
    n_channels : what it norms, where it has no weight to tell

    Raises
    ------
    UnknownArchitecture
        If it does what none of these does.
    """
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    one = torch.ones(n_channels) if weight is None else torch.ones_like(weight)
    if isinstance(module, nn.Identity):
        return Norm("none", one, None, 0.0)
    bias = None if bias is None else bias.detach()
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", 1e-5))
    least = torch.promote_types(one.dtype, torch.float32)
    gains = [one] if weight is None else [weight.detach(), 1 + weight.detach().to(least)]
    # States small enough for eps to matter, and off centre.
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(4, len(one), generator=generator) + 0.5
    probe = (probe * torch.tensor([1.0, 0.1, 0.01, 0.003])[:, None]).to(one.device)
    expected = deepcopy(module).float()(probe)
    for kind, gain in product(("layer", "rms"), gains):
        norm = Norm(kind, gain, bias, eps)
        if torch.allclose(norm(probe), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max())):
            return norm
    raise UnknownArchitecture(
        f"its norm {type(module).__name__} is neither LayerNorm nor RMS norm with gain w or 1 + w"
    )
