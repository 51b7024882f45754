"""Random models and prompts of the shapes that are measured; no weights are read."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PretrainedConfig

from strata.model.architecture import Parts, find_parts
from strata.model.loading import fast
from strata.model.norms import Norm
from strata.model.readout import LogitDecoder
from strata.trace.corruption import Prompt

CPU = torch.device("cpu")
ENDS = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}


def gpt2(layers: int, channels: int, heads: int, vocab: int = 50257) -> PretrainedConfig:
    return GPT2Config(n_layer=layers, n_embd=channels, n_head=heads, vocab_size=vocab, **ENDS)


SHAPES = {
    "organism": gpt2(12, 128, 4, 4096),
    "small": gpt2(12, 768, 12),
    "medium": gpt2(24, 1024, 16),
    "xl": gpt2(48, 1600, 25),
    "smollm2": LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
        **ENDS,
    ),
}


def random_model(shape: str, device: torch.device = CPU) -> Parts:
    """A model of a shape, in float32 as the pipeline loads it."""
    torch.manual_seed(0)
    return model_of(SHAPES[shape], device)


def model_of(config: PretrainedConfig, device: torch.device = CPU) -> Parts:
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    return find_parts(fast(model.eval().requires_grad_(False)).to(device))


def random_decoder(channels: int, vocab: int, device: torch.device = CPU) -> LogitDecoder:
    norm = Norm("layer", torch.ones(channels), torch.zeros(channels), 1e-5)
    return LogitDecoder(norm, torch.randn(vocab, channels) * 0.1).to(device)


def random_prompt(parts: Parts, length: int, samples: int = 10, subject: Sequence[int] = (1,)) -> Prompt:
    """A prompt of random tokens with noise on some of them."""
    rng = np.random.default_rng(length)
    n_channels, vocab = parts.token_embedding.embedding_dim, parts.token_embedding.num_embeddings
    ids = rng.integers(vocab, size=length).tolist()
    return Prompt(
        input_ids=ids,
        subject=[*subject],
        labels=[("1", sample) for sample in range(samples)],
        corrupted_ids=np.array([[ids[position] for position in subject]] * samples),
        noise=rng.standard_normal((samples, len(subject), n_channels), np.float32),
        target_id=42,
    )
