"""The rest of a model from some depth on, run by the model itself."""

import torch


def run_tail(model, parts, begin, states, input_ids):
    """Logits (position, vocab) if the state entering block ``begin`` were ``states`` (position, channel).

    The model's own forward pass on ``input_ids`` with the block's input replaced; with ``begin`` = L
    the input of the final norm.
    """

    def replace(module, args, kwargs):
        if args:
            return (states[None], *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": states[None]}

    module = parts.final_norm if begin == parts.n_layers else parts.blocks[begin]
    handle = module.register_forward_pre_hook(replace, with_kwargs=True)
    try:
        return model(input_ids=torch.tensor([list(input_ids)]), use_cache=False).logits[0]
    finally:
        handle.remove()


def stream_of(model, parts, input_ids):
    """States (2L + 1, position, channel): before each block, after its attention, and at the end.

    After its attention means: the block's input plus what its attention module returned.
    """
    entered, added, last = [], [], []
    handles = [parts.final_norm.register_forward_pre_hook(lambda m, a: last.append(a[0][0].clone()))]
    for block, attention in zip(parts.blocks, parts.attentions, strict=True):

        def enter(module, args, kwargs):
            entered.append((args[0] if args else kwargs["hidden_states"])[0].clone())

        def leave(module, args, output):
            added.append(output[0][0].clone())

        handles.append(block.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(attention.register_forward_hook(leave))
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([list(input_ids)]), use_cache=False).logits[0]
    for handle in handles:
        handle.remove()
    states = [state for x, a in zip(entered, added, strict=True) for state in (x, x + a)]
    return torch.stack([*states, last[0]]), logits
