"""The rest of a model from some depth on, run by the model itself."""

import torch


def run_tail(model, parts, begin, states, input_ids):
    """Logits (position, vocab) if the state entering block ``begin`` were ``states`` (position, channel).

    The model's own forward pass on ``input_ids`` with the block's input replaced; with ``begin`` = L
    the last block's output.
    """

    def replace(module, args, kwargs):
        if args:
            return (states[None], *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": states[None]}

    def replace_output(module, args, output):
        return (states[None], *output[1:]) if isinstance(output, tuple) else states[None]

    if begin == parts.n_layers:
        handle = parts.blocks[-1].register_forward_hook(replace_output)
    else:
        handle = parts.blocks[begin].register_forward_pre_hook(replace, with_kwargs=True)
    try:
        return model(input_ids=torch.tensor([list(input_ids)]), use_cache=False).logits[0]
    finally:
        handle.remove()


def stream_of(model, parts, input_ids):
    """States (2L + 1, position, channel): before each block, after its attention, and at the end.

    After its attention means: the block's input plus what its attention adds, normed where norms act on sums.
    """
    entered, added, last = [], [], []

    def enter(module, args, kwargs):
        entered.append((args[0] if args else kwargs["hidden_states"])[0].clone())

    def leave(module, args, output):
        output = output[0] if isinstance(output, tuple) else output
        added.append(output[0].clone())

    def end(module, args, output):
        last.append((output[0] if isinstance(output, tuple) else output)[0].clone())

    handles = [parts.blocks[-1].register_forward_hook(end)]
    for block, made in zip(
        parts.blocks, parts.norm1s if parts.post_norm else parts.attention_outs, strict=True
    ):
        handles.append(block.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(made.register_forward_hook(leave))
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([list(input_ids)]), use_cache=False).logits[0]
    for handle in handles:
        handle.remove()
    after = added if parts.post_norm else [x + a for x, a in zip(entered, added, strict=True)]
    states = [state for pair in zip(entered, after, strict=True) for state in pair]
    return torch.stack([*states, last[0]]), logits


def after_mlp(parts, layer, state):
    """What a block's MLP makes of the state (position, channel) after attention: (1, position, channel).

    Each family's, written out.
    """
    block, hidden = parts.blocks[layer], state[None]
    if type(block).__name__ == "OPTDecoderLayer":
        norm = block.final_layer_norm
        read = hidden if parts.post_norm else norm(hidden)
        after = hidden + block.fc2(torch.relu(block.fc1(read)))
        return norm(after) if parts.post_norm else after
    if type(block).__name__ == "BloomBlock":
        return block.mlp(block.post_attention_layernorm(hidden), hidden)
    if type(block).__name__.startswith("Gemma"):
        return hidden + block.post_feedforward_layernorm(block.mlp(block.pre_feedforward_layernorm(hidden)))
    if type(block).__name__.startswith("Olmo2"):
        return hidden + block.post_feedforward_layernorm(block.mlp(hidden))
    return hidden + parts.mlps[layer](parts.norm2s[layer](hidden))
