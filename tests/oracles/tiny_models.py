"""Tiny random models of every family, built from configurations, without a network."""

import torch
from transformers import (
    CTRLConfig,
    CTRLLMHeadModel,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

VOCAB, WIDTH, LAYERS, HEADS, POSITIONS = 97, 32, 4, 4, 64

_BUILDERS = {
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCAB, n_positions=POSITIONS, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS)
    ),
    "gpt-neo": lambda: GPTNeoForCausalLM(
        GPTNeoConfig(
            vocab_size=VOCAB,
            max_position_embeddings=POSITIONS,
            hidden_size=WIDTH,
            num_layers=LAYERS,
            num_heads=HEADS,
            attention_types=[[["global", "local"], LAYERS // 2]],
            window_size=3,
        )
    ),
    "ctrl": lambda: CTRLLMHeadModel(
        CTRLConfig(
            vocab_size=VOCAB, n_positions=POSITIONS, n_embd=WIDTH, dff=2 * WIDTH, n_layer=LAYERS, n_head=HEADS
        )
    ),
    "gpt-neox": lambda: _neox(parallel=True),
    "gpt-neox-sequential": lambda: _neox(parallel=False),
    "llama": lambda: LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCAB,
            max_position_embeddings=POSITIONS,
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS // 2,
        )
    ),
}
NAMES = list(_BUILDERS)


def _neox(parallel: bool):
    return GPTNeoXForCausalLM(
        GPTNeoXConfig(
            vocab_size=VOCAB,
            max_position_embeddings=POSITIONS,
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            use_parallel_residual=parallel,
        )
    )


def build(name: str, seed: int = 0):
    """A random model, its weights large enough that attention and noise matter."""
    torch.manual_seed(seed)
    model = _BUILDERS[name]()
    model.config._attn_implementation = "eager"
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 0.25 if parameter.dim() > 1 else 0.1
            parameter.add_(scale * torch.randn_like(parameter))
    return model.eval().requires_grad_(False)
