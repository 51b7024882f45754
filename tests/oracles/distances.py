"""What explains attention by distance, rotation by complex numbers, and heads that are known on paper."""

import cmath
import math

import torch
from transformers import LlamaConfig, LlamaForCausalLM

VOCAB, WIDTH = 20, 32
THETA = 1e4


def centred(values: list[float]) -> list[float]:
    mean = sum(values) / len(values)
    return [v - mean for v in values]


def explained_by(prediction: list[float], logits: list[list[float]]) -> float:
    """Squared correlation of a prediction by distance with the logits of every query; 0 if negative."""
    prediction = centred(prediction)
    both = sum(p * v for row in logits for p, v in zip(prediction, row, strict=True))
    square = sum(v * v for row in logits for v in row)
    return max(both, 0) ** 2 / (square * len(logits) * sum(p * p for p in prediction))


def rotated(query, key, farthest: int, scale: float, theta: float = THETA, n_rotated: int | None = None):
    """The logit of one query and one key (channel) at every distance; channels i and i + n/2 make a pair."""
    n = len(query) if n_rotated is None else n_rotated
    pairs = [(complex(query[i], query[i + n // 2]), complex(key[i], key[i + n // 2])) for i in range(n // 2)]
    still = sum(float(q * k) for q, k in zip(query[n:], key[n:], strict=True))
    logits = []
    for d in range(farthest + 1):
        # Rotating the query by its position and the key by its own leaves the difference.
        turned = [
            (q * k.conjugate() * cmath.exp(1j * d * theta ** (-2 * i / n))).real
            for i, (q, k) in enumerate(pairs)
        ]
        logits.append(scale * (sum(turned) + still))
    return logits


def planted_head(constant: float = 0.0, content: float = 0.0, matching: float = 0.0) -> LlamaForCausalLM:
    """One head of which every logit is a sum of three; its first pair of channels turns by a radian a token.

    ``constant``: cos(distance) times this, whatever the tokens are. ``content``: plus this where the key is
    an even token, minus this where it is odd. ``matching``: plus this where query and key are both even or
    both odd, else minus this. The two latter lie in the slowest pairs, which hardly turn.
    """
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=1,
        attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1e12},
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.fill_(1.0 if "norm" in name else 0.0)
    # A norm leaves a token's one channel at the square root of the width.
    model.model.embed_tokens.weight[:, 0] = torch.tensor([1.0, -1.0]).repeat(VOCAB // 2)
    one, scale = 1 / math.sqrt(WIDTH), math.sqrt(WIDTH)
    query, key = (getattr(model.model.layers[0].self_attn, f"{x}_proj") for x in "qk")
    query.bias[0], key.bias[0] = constant * scale, 1
    query.bias[15], key.weight[15, 0] = content * scale, one
    query.weight[14, 0], key.weight[14, 0] = matching * scale * one, one
    return model
