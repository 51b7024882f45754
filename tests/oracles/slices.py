"""Sizes of the weights that read and write a channel, of some families by their parameters' names."""

import numpy as np


def norm(*columns):
    return np.sqrt(sum((np.asarray(c, float) ** 2).sum() for c in columns))


def gpt2(model, layer, channel):
    """Maps are stored as (in, out)."""
    block = model.transformer.h[layer]
    n_heads = model.config.n_head
    rows = block.attn.c_proj.weight[:, channel].reshape(n_heads, -1)
    return {
        "attention reads": abs(float(block.ln_1.weight[channel])) * norm(block.attn.c_attn.weight[channel]),
        "attention writes": norm(rows),
        "MLP reads": abs(float(block.ln_2.weight[channel])) * norm(block.mlp.c_fc.weight[channel]),
        "MLP writes": norm(block.mlp.c_proj.weight[:, channel]),
        "heads": [norm(row) for row in rows],
    }


def llama(model, layer, channel, gain=lambda norm_, c: float(norm_.weight[c]), after=lambda block: (1, 1)):
    """Fewer heads of keys and values than of queries; gates beside the keys of MLPs."""
    block = model.model.layers[layer]
    attention, mlp = block.self_attn, block.mlp
    read = [getattr(attention, f"{name}_proj").weight[:, channel] for name in "qkv"]
    rows = attention.o_proj.weight[channel].reshape(model.config.num_attention_heads, -1)
    by_attention, by_mlp = after(block)
    before = block.post_attention_layernorm
    if hasattr(block, "pre_feedforward_layernorm"):
        before = block.pre_feedforward_layernorm
    return {
        "attention reads": abs(gain(block.input_layernorm, channel)) * norm(*read),
        "attention writes": by_attention * norm(rows),
        "MLP reads": abs(gain(before, channel))
        * norm(mlp.gate_proj.weight[:, channel], mlp.up_proj.weight[:, channel]),
        "MLP writes": by_mlp * norm(mlp.down_proj.weight[channel]),
        "heads": [by_attention * norm(row) for row in rows],
    }


def gemma3(model, layer, channel):
    """Norms multiply with 1 + w, and stand behind sub-blocks too."""

    def gain(norm_, c):
        return 1 + float(norm_.weight[c])

    def after(block):
        norms = (block.post_attention_layernorm, block.post_feedforward_layernorm)
        return [abs(gain(each, channel)) for each in norms]

    return llama(model, layer, channel, gain, after)


def gptj(model, layer, channel):
    """One norm before both."""
    block = model.transformer.h[layer]
    gain = abs(float(block.ln_1.weight[channel]))
    attention, mlp = block.attn, block.mlp
    read = [getattr(attention, f"{name}_proj").weight[:, channel] for name in "qkv"]
    rows = attention.out_proj.weight[channel].reshape(model.config.n_head, -1)
    return {
        "attention reads": gain * norm(*read),
        "attention writes": norm(rows),
        "MLP reads": gain * norm(mlp.fc_in.weight[:, channel]),
        "MLP writes": norm(mlp.fc_out.weight[channel]),
        "heads": [norm(row) for row in rows],
    }


def opt350m(model, layer, channel):
    """Norms act on the stream: their gains belong to no sub-block."""
    block = model.model.decoder.layers[layer]
    attention = block.self_attn
    read = [getattr(attention, f"{name}_proj").weight[:, channel] for name in "qkv"]
    rows = attention.out_proj.weight[channel].reshape(model.config.num_attention_heads, -1)
    return {
        "attention reads": norm(*read),
        "attention writes": norm(rows),
        "MLP reads": norm(block.fc1.weight[:, channel]),
        "MLP writes": norm(block.fc2.weight[channel]),
        "heads": [norm(row) for row in rows],
    }


FAMILIES = {"gpt2": gpt2, "llama": llama, "gemma3": gemma3, "gpt-j": gptj, "opt-350m": opt350m}
