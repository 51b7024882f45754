"""The families of language models: where the parts of each are. The one module that names architectures.

A family is an entry of `FAMILIES`, a table of attribute paths. Whatever can be learned by running a model is
not here: how its blocks are called (`strata.model.calls`), and what its norms do (`strata.model.norms`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the table is read where the workflow is parsed, which waits for no library
    from transformers import PreTrainedConfig


class UnknownArchitecture(ValueError):
    """A model has no entry in the table, and cannot be read without one; the message is one line."""


@dataclass(frozen=True)
class Family:
    """Attribute paths of a family's parts; the first group from the model, the second from a block.

    ``mlp``: the module that what an MLP reads enters. ``attention_out``, ``mlp_out``: the module whose output
    is added to the residual stream, where that is not the sub-block's own output. ``attention_values``,
    ``mlp_values``: the last linear map of each; heads enter theirs side by side. ``activation``: the MLP's
    pointwise function. ``norm1``, ``norm2``: the norm before attention and before the MLP. What a family
    lacks is None.

    ``position_offset``: row of the position embedding that the first position takes. ``project_in``,
    ``project_out``: linear maps between the embeddings' channels and the residual stream's.
    ``post_norm``: norms act on the stream after each addition, norm1 after attention's and norm2 after the
    MLP's.
    """

    token_embedding: str
    blocks: str
    final_norm: str | None

    attention: str
    attention_values: str
    mlp: str
    mlp_values: str
    activation: str | None = None
    norm1: str | None = None
    norm2: str | None = None
    attention_out: str | None = None
    mlp_out: str | None = None

    position_embedding: str | None = None
    position_offset: int = 0
    project_in: str | None = None
    project_out: str | None = None
    post_norm: bool = False


GPT2 = Family(
    "transformer.wte",
    "transformer.h",
    "transformer.ln_f",
    attention="attn",
    attention_values="attn.c_proj",
    mlp="mlp",
    mlp_values="mlp.c_proj",
    activation="mlp.act",
    norm1="ln_1",
    norm2="ln_2",
    position_embedding="transformer.wpe",
)
GPT_NEO = replace(GPT2, attention_values="attn.attention.out_proj")
GPTJ = replace(
    GPT2,
    attention_values="attn.out_proj",
    mlp_values="mlp.fc_out",
    norm2=None,
    position_embedding=None,
)
CTRL = Family(
    "transformer.w",
    "transformer.h",
    "transformer.layernorm",
    attention="multi_head_attention",
    attention_values="multi_head_attention.dense",
    mlp="ffn",
    mlp_values="ffn.2",
    activation="ffn.1",
    norm1="layernorm1",
    norm2="layernorm2",
)
NEOX = Family(
    "gpt_neox.embed_in",
    "gpt_neox.layers",
    "gpt_neox.final_layer_norm",
    attention="attention",
    attention_values="attention.dense",
    mlp="mlp",
    mlp_values="mlp.dense_4h_to_h",
    activation="mlp.act",
    norm1="input_layernorm",
    norm2="post_attention_layernorm",
)
LLAMA = Family(
    "model.embed_tokens",
    "model.layers",
    "model.norm",
    attention="self_attn",
    attention_values="self_attn.o_proj",
    mlp="mlp",
    mlp_values="mlp.down_proj",
    activation="mlp.act_fn",
    norm1="input_layernorm",
    norm2="post_attention_layernorm",
)
GEMMA = replace(
    LLAMA,
    norm2="pre_feedforward_layernorm",
    attention_out="post_attention_layernorm",
    mlp_out="post_feedforward_layernorm",
)
OLMO2 = replace(GEMMA, norm1=None, norm2=None)
PHI = replace(
    LLAMA,
    final_norm="model.final_layernorm",
    attention_values="self_attn.dense",
    mlp_values="mlp.fc2",
    activation="mlp.activation_fn",
    norm2=None,
)


def _bloom(config: PreTrainedConfig) -> Family | None:
    """A sub-block returns the stream with its own part added, which is what its last linear map makes."""
    if config.apply_residual_connection_post_layernorm:
        return None
    return Family(
        "transformer.word_embeddings",
        "transformer.h",
        "transformer.ln_f",
        attention="self_attention",
        attention_values="self_attention.dense",
        mlp="mlp",
        mlp_values="mlp.dense_4h_to_h",
        activation="mlp.gelu_impl",
        norm1="input_layernorm",
        norm2="post_attention_layernorm",
        attention_out="self_attention.dense",
        mlp_out="mlp.dense_4h_to_h",
    )


def _falcon(config: PreTrainedConfig) -> Family:
    """Blocks in sequence with two norms, or parallel with one, or, the new ones, with one or two."""
    norm1, norm2 = "input_layernorm", None if config.parallel_attn else "post_attention_layernorm"
    if config.new_decoder_architecture and config.num_ln_in_parallel_attn in (None, 2):
        norm1, norm2 = "ln_attn", "ln_mlp"
    return Family(
        "transformer.word_embeddings",
        "transformer.h",
        "transformer.ln_f",
        attention="self_attention",
        attention_values="self_attention.dense",
        mlp="mlp",
        mlp_values="mlp.dense_4h_to_h",
        activation="mlp.act",
        norm1=norm1,
        norm2=norm2,
    )


def _opt(config: PreTrainedConfig) -> Family:
    """An MLP has no module of its own; the 350m has norms after additions, and narrower embeddings."""
    projected = config.word_embed_proj_dim != config.hidden_size
    before = config.do_layer_norm_before
    return Family(
        "model.decoder.embed_tokens",
        "model.decoder.layers",
        "model.decoder.final_layer_norm" if before and not config._remove_final_layer_norm else None,
        attention="self_attn",
        attention_values="self_attn.out_proj",
        mlp="fc1",
        mlp_values="fc2",
        activation="activation_fn",
        norm1="self_attn_layer_norm",
        norm2="final_layer_norm",
        mlp_out="fc2",
        position_embedding="model.decoder.embed_positions",
        position_offset=2,
        project_in="model.decoder.project_in" if projected else None,
        project_out="model.decoder.project_out" if projected else None,
        post_norm=not before,
    )


FAMILIES: dict[str, Family | Callable[[PreTrainedConfig], Family | None]] = {
    "GPT2LMHeadModel": GPT2,
    "GPTNeoForCausalLM": GPT_NEO,
    "GPTJForCausalLM": GPTJ,
    "CTRLLMHeadModel": CTRL,
    "GPTNeoXForCausalLM": NEOX,
    "OPTForCausalLM": _opt,
    "BloomForCausalLM": _bloom,
    "FalconForCausalLM": _falcon,
    "LlamaForCausalLM": LLAMA,
    "MistralForCausalLM": LLAMA,
    "Qwen2ForCausalLM": LLAMA,
    "Qwen3ForCausalLM": LLAMA,
    "SmolLM3ForCausalLM": LLAMA,
    "Gemma2ForCausalLM": GEMMA,
    "Gemma3ForCausalLM": lambda config: None if config.use_bidirectional_attention else GEMMA,
    "Olmo2ForCausalLM": OLMO2,
    "PhiForCausalLM": PHI,
}
"""By the model's class; where blocks differ within a family, a function of its configuration."""

LEARNED_POSITIONS = {"GPT2LMHeadModel", "GPTNeoForCausalLM", "OPTForCausalLM"}
"""The classes of these whose models have a position embedding."""

PLAIN_MLPS = {
    *("GPT2LMHeadModel", "GPTNeoForCausalLM", "GPTJForCausalLM", "CTRLLMHeadModel", "GPTNeoXForCausalLM"),
    *("OPTForCausalLM", "BloomForCausalLM", "FalconForCausalLM", "PhiForCausalLM"),
}
"""Those whose MLPs have two matrices; the others have a third, of gates."""


def family_of(model) -> Family | None:
    """The entry of a model's class; None where there is none for it, or for its configuration."""
    entry = FAMILIES.get(type(model).__name__)
    return entry(model.config) if callable(entry) else entry
