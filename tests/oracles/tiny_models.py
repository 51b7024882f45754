"""Tiny random models of every family, built from configurations, without a network."""

import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    CTRLConfig,
    CTRLLMHeadModel,
    FalconConfig,
    FalconForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTJConfig,
    GPTJForCausalLM,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

VOCAB, WIDTH, LAYERS, HEADS, POSITIONS, WINDOW = 97, 32, 4, 4, 64, 3

TOKENS = {"vocab_size": VOCAB, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
OLD = TOKENS | {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": POSITIONS}
SIZES = TOKENS | {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": POSITIONS,
}
GATED = SIZES | {"intermediate_size": 2 * WIDTH}
GROUPED = GATED | {"num_key_value_heads": HEADS // 2}
LOCAL = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"] * (LAYERS // 2)}
ROTARY = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}}
NEO = TOKENS | {
    "max_position_embeddings": POSITIONS,
    "hidden_size": WIDTH,
    "num_layers": LAYERS,
    "num_heads": HEADS,
    "attention_types": [[["global", "local"], LAYERS // 2]],
    "window_size": WINDOW,
}
GEMMA = GROUPED | LOCAL | {"head_dim": 12, "query_pre_attn_scalar": 12}
CAPS = {"final_logit_softcapping": 2.0, "attn_logit_softcapping": 3.0}
OPT_350M = {"do_layer_norm_before": False, "word_embed_proj_dim": WIDTH // 2}

MODELS = {
    "gpt2": (GPT2LMHeadModel, GPT2Config, OLD),
    "gpt-neo": (GPTNeoForCausalLM, GPTNeoConfig, NEO),
    "ctrl": (CTRLLMHeadModel, CTRLConfig, OLD | {"dff": 2 * WIDTH}),
    "gpt-j": (GPTJForCausalLM, GPTJConfig, OLD | {"rotary_dim": 4}),
    "gpt-neox": (GPTNeoXForCausalLM, GPTNeoXConfig, GATED),
    "gpt-neox-sequential": (GPTNeoXForCausalLM, GPTNeoXConfig, GATED | {"use_parallel_residual": False}),
    "opt": (OPTForCausalLM, OPTConfig, SIZES | {"ffn_dim": 2 * WIDTH, "word_embed_proj_dim": WIDTH}),
    "opt-350m": (OPTForCausalLM, OPTConfig, SIZES | {"ffn_dim": 2 * WIDTH} | OPT_350M),
    "bloom": (BloomForCausalLM, BloomConfig, OLD | {"hidden_size": WIDTH}),
    "falcon": (FalconForCausalLM, FalconConfig, SIZES),
    "falcon-new": (
        FalconForCausalLM,
        FalconConfig,
        SIZES | {"new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "falcon-alibi": (
        FalconForCausalLM,
        FalconConfig,
        SIZES | {"alibi": True, "parallel_attn": False, "multi_query": False, "bias": True},
    ),
    "llama": (LlamaForCausalLM, LlamaConfig, GROUPED),
    "mistral": (MistralForCausalLM, MistralConfig, GROUPED | {"sliding_window": WINDOW}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, GROUPED | LOCAL | {"use_sliding_window": True}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, GROUPED | {"head_dim": 12}),
    "gemma2": (Gemma2ForCausalLM, Gemma2Config, GEMMA | CAPS),
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig, GEMMA),
    "phi": (PhiForCausalLM, PhiConfig, GATED | ROTARY),
    "olmo2": (Olmo2ForCausalLM, Olmo2Config, GROUPED),
    "smollm3": (SmolLM3ForCausalLM, SmolLM3Config, GROUPED | {"no_rope_layers": [1, 0] * (LAYERS // 2)}),
}
"""By name: the model's class, its configuration's, and what that is given."""

NAMES = list(MODELS)
UNLIKE = ["gpt-neo", "ctrl", "opt-350m", "bloom", "gemma3"]
"""Local attention; a slow tokenizer; norms after additions; ALiBi; scales, windows and a beginning token."""
PARALLEL = {"gpt-j", "gpt-neox", "falcon", "falcon-new", "phi"}
"""Those whose MLPs run beside their attention."""


def build(name: str, seed: int = 0):
    """A random model, its weights large enough that attention and noise matter."""
    return made(*MODELS[name], seed)


def made(model, configuration, options, seed: int = 0):
    """The same of any class."""
    torch.manual_seed(seed)
    made = model(configuration(**options, attn_implementation="eager"))
    with torch.no_grad():
        for parameter in made.parameters():
            scale = 0.25 if parameter.dim() > 1 else 0.1
            parameter.add_(scale * torch.randn_like(parameter))
    return made.eval().requires_grad_(False)
