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


def gpt2_pieces(model, layer, channel):
    """What each head makes queries, keys and values of, and what each key of the MLP reads and writes."""
    block, n = model.transformer.h[layer], model.config.n_embd
    gains = [abs(float(each.weight[channel])) for each in (block.ln_1, block.ln_2)]
    size = n // model.config.n_head
    made = block.attn.c_attn.weight[channel]
    return {
        name: [
            gains[0] * norm(made[i * n + h * size : i * n + (h + 1) * size])
            for h in range(model.config.n_head)
        ]
        for i, name in enumerate(("query", "key", "value"))
    } | {
        "reads": [gains[1] * abs(float(w)) for w in block.mlp.c_fc.weight[channel]],
        "writes": [abs(float(w)) for w in block.mlp.c_proj.weight[:, channel]],
    }


def llama_pieces(model, layer, channel, gain=lambda norm_, c: float(norm_.weight[c]), after=1.0):
    """Two heads share the keys and values of one; gate and key are read together."""
    block = model.model.layers[layer]
    attention, mlp, heads = block.self_attn, block.mlp, model.config.num_attention_heads
    before = getattr(block, "pre_feedforward_layernorm", block.post_attention_layernorm)
    first, second = abs(gain(block.input_layernorm, channel)), abs(gain(before, channel))
    shared = heads // model.config.num_key_value_heads

    def of_head(name, head):
        own = getattr(attention, f"{name}_proj").weight[:, channel]
        size = len(own) // (heads if name == "q" else heads // shared)
        at = head if name == "q" else head // shared
        return first * norm(own[at * size : (at + 1) * size])

    return {name: [of_head(name[0], head) for head in range(heads)] for name in ("query", "key", "value")} | {
        "reads": [
            second * norm([float(gate)], [float(up)])
            for gate, up in zip(mlp.gate_proj.weight[:, channel], mlp.up_proj.weight[:, channel], strict=True)
        ],
        "writes": [after * abs(float(w)) for w in mlp.down_proj.weight[channel]],
    }


def gemma3_pieces(model, layer, channel):
    """Norms multiply with 1 + w, also behind the MLP."""
    behind = model.model.layers[layer].post_feedforward_layernorm
    return llama_pieces(
        model,
        layer,
        channel,
        lambda norm_, c: 1 + float(norm_.weight[c]),
        abs(1 + float(behind.weight[channel])),
    )


def neox_pieces(model, layer, channel):
    """Queries, keys and values of one head after the other."""
    block, heads = model.gpt_neox.layers[layer], model.config.num_attention_heads
    rows = block.attention.query_key_value.weight[:, channel].reshape(heads, 3, -1)
    gains = [
        abs(float(each.weight[channel])) for each in (block.input_layernorm, block.post_attention_layernorm)
    ]
    return {
        name: [gains[0] * norm(rows[head, i]) for head in range(heads)]
        for i, name in enumerate(("query", "key", "value"))
    } | {
        "reads": [gains[1] * abs(float(w)) for w in block.mlp.dense_h_to_4h.weight[:, channel]],
        "writes": [abs(float(w)) for w in block.mlp.dense_4h_to_h.weight[channel]],
    }


def falcon_pieces(model, layer, channel):
    """Queries of all heads, then the one key and the one value that all share; one norm before both."""
    block, heads = model.transformer.h[layer], model.config.num_attention_heads
    rows = block.self_attention.query_key_value.weight[:, channel].reshape(heads + 2, -1)
    gain = abs(float(block.input_layernorm.weight[channel]))
    return {
        "query": [gain * norm(rows[head]) for head in range(heads)],
        "key": [gain * norm(rows[heads])] * heads,
        "value": [gain * norm(rows[heads + 1])] * heads,
        "reads": [gain * abs(float(w)) for w in block.mlp.dense_h_to_4h.weight[:, channel]],
        "writes": [abs(float(w)) for w in block.mlp.dense_4h_to_h.weight[channel]],
    }


PIECES = {
    "gpt2": gpt2_pieces,
    "llama": llama_pieces,
    "gemma3": gemma3_pieces,
    "gpt-neox": neox_pieces,
    "falcon": falcon_pieces,
}
