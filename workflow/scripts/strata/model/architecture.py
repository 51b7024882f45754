"""Where the parts of a model are: the one module that names architectures.

A family is one entry of a table of attribute paths. Everything else in Strata asks `find_parts`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import torch
import xarray as xr
from torch import Tensor, nn
from transformers import PreTrainedModel

from strata.model.norms import Norm
from strata.names import CHANNEL, LAYER, POSITION, TOKEN_ID, TOKEN_STR, VOCAB


class UnknownArchitecture(ValueError):
    """The model's architecture has no entry in the table."""


@dataclass(frozen=True)
class Family:
    """Attribute paths of a family's parts; the first group from the model, the second from a block.

    ``mlp_values`` goes from an MLP to its last linear map, ``activation`` to its pointwise function.
    """

    token_embedding: str
    blocks: str
    final_norm: str
    attention: str
    mlp: str
    norm1: str
    norm2: str
    cache_argument: str
    position_embedding: str | None = None
    rotary: str | None = None
    mlp_values: str = "c_proj"
    activation: str = "act"


_GPT2_BLOCK = {"attention": "attn", "mlp": "mlp", "norm1": "ln_1", "norm2": "ln_2"}

FAMILIES = {
    "GPT2LMHeadModel": Family(
        "transformer.wte",
        "transformer.h",
        "transformer.ln_f",
        **_GPT2_BLOCK,
        cache_argument="past_key_values",
        position_embedding="transformer.wpe",
    ),
    "GPTNeoForCausalLM": Family(
        "transformer.wte",
        "transformer.h",
        "transformer.ln_f",
        **_GPT2_BLOCK,
        cache_argument="layer_past",
        position_embedding="transformer.wpe",
    ),
    "CTRLLMHeadModel": Family(
        "transformer.w",
        "transformer.h",
        "transformer.layernorm",
        attention="multi_head_attention",
        mlp="ffn",
        norm1="layernorm1",
        norm2="layernorm2",
        cache_argument="layer_past",
        mlp_values="2",
        activation="1",
    ),
    "GPTNeoXForCausalLM": Family(
        "gpt_neox.embed_in",
        "gpt_neox.layers",
        "gpt_neox.final_layer_norm",
        attention="attention",
        mlp="mlp",
        norm1="input_layernorm",
        norm2="post_attention_layernorm",
        cache_argument="layer_past",
        rotary="gpt_neox.rotary_emb",
        mlp_values="dense_4h_to_h",
    ),
    "LlamaForCausalLM": Family(
        "model.embed_tokens",
        "model.layers",
        "model.norm",
        attention="self_attn",
        mlp="mlp",
        norm1="input_layernorm",
        norm2="post_attention_layernorm",
        cache_argument="past_key_values",
        rotary="model.rotary_emb",
        mlp_values="down_proj",
        activation="act_fn",
    ),
}


@dataclass(frozen=True)
class Parts:
    """The parts of one model, per layer where they belong to a block.

    ``position_embedding`` is None where positions are rotary or a fixed function. ``activations``: the
    pointwise functions inside MLPs.
    """

    model: PreTrainedModel
    token_embedding: nn.Embedding
    position_embedding: nn.Embedding | None
    blocks: Sequence[nn.Module]
    attentions: Sequence[nn.Module]
    mlps: Sequence[nn.Module]
    norm1s: Sequence[nn.Module]
    norm2s: Sequence[nn.Module]
    final_norm: nn.Module
    unembedding: nn.Linear
    rotary: nn.Module | None = field(repr=False)
    cache_argument: str
    activations: Sequence[nn.Module] = ()

    @property
    def n_layers(self) -> int:
        return len(self.blocks)

    @property
    def parallel(self) -> bool:
        """Whether a block's MLP reads what enters the block rather than what its attention leaves."""
        return bool(getattr(self.model.config, "use_parallel_residual", False))

    def sub_blocks(self, part: str) -> Sequence[nn.Module]:
        """The MLPs or the attentions by layer: ``part`` is "mlp" or "attn"."""
        return {"mlp": self.mlps, "attn": self.attentions}[part]

    @torch.no_grad()
    def embed(self, input_ids: Tensor) -> Tensor:
        """What enters block 0: depth 0 of the residual stream.

        Parameters
        ----------
        input_ids : (row, position)

        Returns
        -------
        Tensor (row, position, channel)
        """
        entered: list[Tensor] = []

        def keep(module, args, kwargs):
            entered.append((args[0] if args else kwargs["hidden_states"]).clone())

        handle = self.blocks[0].register_forward_pre_hook(keep, with_kwargs=True)
        try:
            self.model.base_model(input_ids=input_ids, use_cache=False)
        finally:
            handle.remove()
        return entered[0]

    def run_block(self, layer: int, hidden: Tensor, start: int, past: "Past | None" = None) -> Tensor:
        """Run one block on hidden states of positions ``start``, ``start`` + 1, ...

        Parameters
        ----------
        hidden : (row, position, channel)
        start : int
            Position of the first of them in the prompt.
        past : Past, optional
            Keys and values of the positions before ``start``; required when ``start`` > 0.

        Returns
        -------
        Tensor (row, position, channel): the hidden states one depth further.

        The causal mask is always given: a block called alone makes none, and fused attention with
        more keys than queries and no mask reads the wrong keys.
        """
        length = hidden.shape[1]
        lowest = torch.finfo(hidden.dtype).min
        mask = torch.full((length, start + length), lowest, dtype=hidden.dtype, device=hidden.device)
        arguments = {"attention_mask": mask.triu(start + 1)[None, None], self.cache_argument: past}
        if self.rotary is not None:
            positions = torch.arange(start, start + length, device=hidden.device)[None]
            arguments["position_embeddings"] = self.rotary(hidden, positions)
        output = self.blocks[layer](hidden, **arguments)
        return output[0] if isinstance(output, tuple) else output


@dataclass(frozen=True)
class Past:
    """Keys and values (row, head, position, head channel) that a block finds before its own.

    Where the block's own have several times as many rows, each repetition finds the same. Has the one
    method of a transformers cache that an attention module calls.
    """

    keys: Tensor
    values: Tensor

    def update(self, keys: Tensor, values: Tensor, *_args, **_kwargs) -> tuple[Tensor, Tensor]:
        return _after(self.keys, keys), _after(self.values, values)


def _after(past: Tensor, own: Tensor) -> Tensor:
    own = own.unflatten(0, (-1, len(past)))
    return torch.cat([past.expand(len(own), *past.shape), own], 3).flatten(0, 1)


def find_parts(model: PreTrainedModel) -> Parts:
    """Find the parts of a model.

    Raises
    ------
    UnknownArchitecture
        If the model's class is not in `FAMILIES`.
    """
    name = type(model).__name__
    if name not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise UnknownArchitecture(f"architecture {name} is not known; known are {known}")
    family = FAMILIES[name]
    blocks = list(attrgetter(family.blocks)(model))

    def optional(path: str | None) -> nn.Module | None:
        return attrgetter(path)(model) if path else None

    def in_each(path: str) -> list[nn.Module]:
        return [attrgetter(path)(block) for block in blocks]

    return Parts(
        model=model,
        token_embedding=attrgetter(family.token_embedding)(model),
        position_embedding=optional(family.position_embedding),
        blocks=blocks,
        attentions=in_each(family.attention),
        mlps=in_each(family.mlp),
        norm1s=in_each(family.norm1),
        norm2s=in_each(family.norm2),
        final_norm=attrgetter(family.final_norm)(model),
        unembedding=model.get_output_embeddings(),
        rotary=optional(family.rotary),
        cache_argument=family.cache_argument,
        activations=in_each(f"{family.mlp}.{family.activation}"),
    )


def norm_parameters(module: nn.Module) -> Norm:
    """The parameters of a norm, detached: LayerNorm, or an RMS norm (no bias, no centring)."""
    gain = module.weight.detach()
    if isinstance(module, nn.LayerNorm):
        return Norm("layer", gain, module.bias.detach(), module.eps)
    return Norm("rms", gain, None, module.variance_epsilon)


def weights(model: PreTrainedModel, token_strings: Callable[[list[int]], list[str]]) -> xr.Dataset:
    """The weights that say something by themselves, labelled, float32.

    Returns
    -------
    xr.Dataset
        ``token_embedding``, ``unembedding`` (vocab, channel), ``position_embedding`` (position,
        channel; absent where positions are rotary or a fixed function), ``unembedding_bias``
        (vocab), ``final_norm_gain``, ``final_norm_bias`` (channel), ``norm1_gain``, ``norm2_gain``
        (layer, channel); coordinates ``token_id``, ``token_str`` (vocab); attributes
        ``final_norm_kind`` and ``final_norm_eps``.
    """
    parts = find_parts(model)
    norm = norm_parameters(parts.final_norm)
    embedding = parts.token_embedding.weight
    ids = list(range(embedding.shape[0]))
    fields = {
        "token_embedding": ((VOCAB, CHANNEL), embedding),
        "unembedding": ((VOCAB, CHANNEL), parts.unembedding.weight),
        "unembedding_bias": ((VOCAB,), parts.unembedding.bias),
        "final_norm_gain": ((CHANNEL,), norm.gain),
        "final_norm_bias": ((CHANNEL,), norm.bias),
        "norm1_gain": ((LAYER, CHANNEL), torch.stack([m.weight for m in parts.norm1s])),
        "norm2_gain": ((LAYER, CHANNEL), torch.stack([m.weight for m in parts.norm2s])),
    }
    if parts.position_embedding is not None:
        fields["position_embedding"] = ((POSITION, CHANNEL), parts.position_embedding.weight)
    return xr.Dataset(
        {n: (dims, v.detach().float().cpu().numpy()) for n, (dims, v) in fields.items() if v is not None},
        coords={TOKEN_ID: (VOCAB, ids), TOKEN_STR: (VOCAB, token_strings(ids))},
        attrs={"final_norm_kind": norm.kind, "final_norm_eps": norm.eps},
    )


def mlp_values(parts: Parts) -> list[nn.Module]:
    """The last linear map of every layer's MLP: what enters it says how strongly each key is met."""
    path = attrgetter(FAMILIES[type(parts.model).__name__].mlp_values)
    return [path(mlp) for mlp in parts.mlps]
