"""What has to hold of a model before anything that is measured on it can be believed.

A family in the table is held to this by the tests, once; any other model when it is loaded, on a few tokens.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import DynamicCache

from strata.model.architecture import Parts, Past, changed
from strata.model.capture import capture
from strata.model.families import UnknownArchitecture
from strata.model.weights import norm_parameters

LENGTH, START = 9, 4
"""Tokens of the text that is tried, and where a block starts half-way."""

TOLERANCE, ROUGH = 1e-4, 0.05
"""Largest difference, as a share of the largest entry: in float32, and in half precision."""


def check(parts: Parts) -> None:
    """Try a model's parts on a few tokens.

    Raises
    ------
    UnknownArchitecture
        If something does not hold; names the first that does not, in one line.
    """
    try:
        fault = _first_fault(parts)
    # Whatever a foreign model does when it is run in parts.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise _refused(parts, f"it cannot be run in parts: {reason}") from error
    if fault:
        raise _refused(parts, fault)


def _refused(parts: Parts, fault: str) -> UnknownArchitecture:
    name = type(parts.model).__name__
    return UnknownArchitecture(f"{name} is no known architecture, and read by its module tree {fault}")


def _first_fault(parts: Parts) -> str | None:
    tolerance = TOLERANCE if parts.model.dtype == torch.float32 else ROUGH
    for what, found, expected in _equalities(parts):
        size = float(expected.abs().max())
        off = float((found - expected).abs().max()) if found.shape == expected.shape else torch.inf
        if not off <= tolerance * size:
            return f"{what}: off by {off:.2g} of {size:.2g}"
    return None


@torch.no_grad()
def _equalities(parts: Parts) -> Iterator[tuple[str, Tensor, Tensor]]:
    """What would be wrong, what is found, and what should be."""
    model, n_layers = parts.model, parts.n_layers
    generator = torch.Generator().manual_seed(0)
    n_tokens = parts.token_embedding.num_embeddings
    ids = torch.randint(n_tokens, (2, LENGTH), generator=generator)
    # A beginning in common: what comes after it may not show there.
    ids[1, :START] = ids[0, :START]
    ids = ids.to(parts.device)
    cache = DynamicCache()
    output = model(
        input_ids=ids,
        use_cache=True,
        past_key_values=cache,
        output_hidden_states=True,
        output_attentions=True,
    )
    taken = capture(parts, ids, ["resid", "attn_out", "mlp_out", "attention_last"])
    resid, states = taken.resid, output.hidden_states

    for depth in range(n_layers):
        yield f"its state at depth {depth} is not the model's", resid[depth], states[depth]
    last, unembedding = resid[-1][:, -1], parts.unembedding
    yield "its logits are not its final norm's and unembedding's", parts.logits(last), output.logits[:, -1]
    read = parts.normed(last)
    product = linear(read, unembedding.weight, unembedding.bias)
    yield "its unembedding is no linear map", product, unembedding(read)
    norm, normed = norm_parameters(parts.final_norm, parts.n_channels), parts.final_norm(resid[-1])
    yield "its final norm cannot be made from its weights", norm(resid[-1]), normed.float()
    for norm in [*parts.norm1s[:1], *parts.norm2s[:1]]:
        norm_parameters(norm, parts.n_channels)
    yield "it sees what comes later", resid[:, 0, :START], resid[:, 1, :START]

    for layer, pattern in zip(range(n_layers), output.attentions, strict=True):
        found = taken.attention_last[layer]
        yield f"its attention in layer {layer} is not the model's", found, pattern[:, :, -1].transpose(0, 1)
    added = resid[:-1] + taken.attn_out + taken.mlp_out
    for layer in range(n_layers):
        what = f"its attention and MLP of layer {layer} do not add up to what the block does"
        yield what, added[layer], resid[layer + 1]

    for layer, kept in enumerate(cache.layers):
        past = Past(kept.keys[:, :, :START], kept.values[:, :, :START])
        whole = parts.run_block(layer, resid[layer], 0)
        yield f"its block {layer} run alone is not what it is in the model", whole, resid[layer + 1]
        rest = parts.run_block(layer, resid[layer][:, START:], START, past)
        yield f"its block {layer} run from a later position is another", rest, resid[layer + 1][:, START:]
        if not parts.post_norm:
            with changed(parts.mlp_outs[layer], torch.zeros_like):
                without = parts.run_block(layer, resid[layer], 0)
            yield f"its MLP of layer {layer} cannot be held", without, resid[layer] + taken.attn_out[layer]
