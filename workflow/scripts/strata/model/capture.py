"""One forward pass, everything kept: the residual stream by depth and what each sub-block adds."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from strata.model.architecture import Parts
from strata.names import CHANNEL, DEPTH, HEAD, LAYER, TOKEN


@dataclass(frozen=True)
class Capture:
    """Activations of prompts of one length.

    ``resid`` (depth, prompt, position, channel): depth 0 enters block 0, depth L leaves the last
    block, before the final norm. ``attn_out``, ``mlp_out`` (layer, prompt, position, channel): what
    the sub-block adds. ``attention_last`` (layer, head, prompt, position): where the last position
    attends. ``logprob_next`` (prompt, position): log p (nats) of the next token, NaN at the end.
    ``logits_last`` (prompt, vocab).
    """

    resid: Tensor
    attn_out: Tensor
    mlp_out: Tensor
    attention_last: Tensor
    logprob_next: Tensor
    logits_last: Tensor


@torch.inference_mode()
def capture(parts: Parts, input_ids: Tensor) -> Capture:
    """Run prompts of equal length (prompt, position) and keep their activations.

    Attention patterns exist under eager attention only, which is what `strata.model.loading` loads.
    """
    resid: list[Tensor] = []
    attn_out: list[Tensor] = []
    mlp_out: list[Tensor] = []
    attention: list[Tensor] = []

    def keep_input(module, args, kwargs):
        # A clone: CTRL scales its embeddings in place, and blocks may reuse their input.
        resid.append((args[0] if args else kwargs["hidden_states"]).clone())

    def keep_attention(module, args, output):
        attn_out.append(output[0].clone())
        attention.append(output[1][:, :, -1].transpose(0, 1).clone())

    def keep_mlp(module, args, output):
        mlp_out.append(output.clone())

    def keep_last(module, args):
        resid.append(args[0].clone())

    handles = [parts.final_norm.register_forward_pre_hook(keep_last)]
    for block, attn, mlp in zip(parts.blocks, parts.attentions, parts.mlps, strict=True):
        handles.append(block.register_forward_pre_hook(keep_input, with_kwargs=True))
        handles.append(attn.register_forward_hook(keep_attention))
        handles.append(mlp.register_forward_hook(keep_mlp))
    try:
        logits = parts.model(input_ids=input_ids, use_cache=False).logits
    finally:
        for handle in handles:
            handle.remove()

    logprob_next = torch.full(input_ids.shape, torch.nan, device=logits.device)
    each = log_softmax(logits[:, :-1].float(), dim=-1).gather(-1, input_ids[:, 1:, None])
    logprob_next[:, :-1] = each[..., 0]
    return Capture(
        resid=torch.stack(resid),
        attn_out=torch.stack(attn_out),
        mlp_out=torch.stack(mlp_out),
        attention_last=torch.stack(attention),
        logprob_next=logprob_next,
        logits_last=logits[:, -1],
    )


LAYOUT = {
    "resid": (DEPTH, TOKEN, CHANNEL),
    "attn_out": (LAYER, TOKEN, CHANNEL),
    "mlp_out": (LAYER, TOKEN, CHANNEL),
    "attention_last": (LAYER, HEAD, TOKEN),
    "logprob_next": (TOKEN,),
}
"""Dimensions of what is kept, with the positions of all prompts in a row as tokens."""


def sizes(parts: Parts, n_tokens: int) -> dict[str, int]:
    """Size of every dimension of `LAYOUT` for a model and a number of tokens."""
    n_layers, n_channels = parts.n_layers, parts.token_embedding.embedding_dim
    n_heads = parts.model.config.num_attention_heads
    return {DEPTH: n_layers + 1, LAYER: n_layers, HEAD: n_heads, TOKEN: n_tokens, CHANNEL: n_channels}


def by_token(captured: Capture) -> dict[str, np.ndarray]:
    """The activations of one prompt in the layout of the file, float32."""
    return {
        "resid": captured.resid[:, 0].float().cpu().numpy(),
        "attn_out": captured.attn_out[:, 0].float().cpu().numpy(),
        "mlp_out": captured.mlp_out[:, 0].float().cpu().numpy(),
        "attention_last": captured.attention_last[:, :, 0].float().cpu().numpy(),
        "logprob_next": captured.logprob_next[0].cpu().numpy(),
    }
