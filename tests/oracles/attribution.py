"""Direct logit attribution by its definition: take one part away, hold everything else, run the whole model.

Held are what the last linear map of every attention and every MLP makes, and the divisor of every norm that
the stream, or what joins it, goes through. What the logit difference loses is then the part's.
"""

from contextlib import ExitStack, contextmanager

import torch
from torch import nn


def parts_of_difference(parts, ids, target):
    """By name the part of each layer (and head), or of all; the logit difference; the alternative's id."""
    maps = {"attention": parts.attention_values, "mlp": parts.mlp_values}
    made, entered = {}, {}
    with ExitStack() as hooks:
        for name, modules in maps.items():
            for layer, module in enumerate(modules):
                hooks.enter_context(hooked(module, keep(made, (name, layer))))
        for norm in path_norms(parts):
            hooks.enter_context(hooked(norm, keep(entered, norm, of_input=True)))
        logits = uncapped(parts, ids)
    alternative = max((i for i in range(len(logits)) if i != target), key=lambda i: logits[i])
    whole = logits[target] - logits[alternative]

    def without(changes=(), at_block=None, at_position=None):
        """The logit difference with some outputs of linear maps, or depth 0, changed."""
        changes = dict(changes)
        with ExitStack() as hooks:
            for norm in path_norms(parts):
                hooks.enter_context(hooked(norm, frozen(entered[norm])))
            for key, clean in made.items():
                module = maps[key[0]][key[1]]
                hooks.enter_context(hooked(module, put(changes.get(key, clean))))
            if at_block:
                module = parts.blocks[0]
                handle = module.register_forward_pre_hook(zero_input, with_kwargs=True)
                hooks.callback(handle.remove)
            if at_position:
                hooks.enter_context(hooked(parts.position_embedding, lambda m, x, out: 0 * out))
            changed = uncapped(parts, ids)
        return whole - (changed[target] - changed[alternative])

    found = {"token_embedding": without(at_block=True)}
    if parts.position_embedding is not None:
        found["position_embedding"] = without(at_position=True)
        found["token_embedding"] -= found["position_embedding"]
    for (name, layer), clean in made.items():
        module = maps[name][layer]
        bias = module(torch.zeros_like(made_input(parts, ids, module)))
        found[f"{name}_bias", layer] = without({(name, layer): clean - bias})
        if name == "mlp":
            found["mlp", layer] = without({(name, layer): bias})
    for layer, module in enumerate(parts.attention_values):
        values = made_input(parts, ids, module)
        size = values.shape[-1] // parts.n_heads
        for head in range(parts.n_heads):
            cut = values.clone()
            cut[..., head * size : (head + 1) * size] = 0
            found["attention", layer, head] = without({("attention", layer): module(cut)})
    return found, whole, alternative


def uncapped(parts, ids):
    """Logits of the last position, before a cap."""
    kept = {}
    with hooked(parts.unembedding, keep(kept, "logits")):
        parts.model(input_ids=torch.tensor([ids]), use_cache=False)
    return kept["logits"][0, -1] * parts.logit_scale


def made_input(parts, ids, module):
    kept = {}
    with hooked(module, keep(kept, "input", of_input=True)):
        parts.model(input_ids=torch.tensor([ids]), use_cache=False)
    return kept["input"]


def path_norms(parts):
    """Norms that the stream goes through, or what attention and MLPs add."""
    norms = [parts.final_norm, *parts.attention_outs, *parts.mlp_outs]
    norms += [*parts.norm1s, *parts.norm2s] if parts.post_norm else []
    return [norm for norm in norms if "norm" in type(norm).__name__.lower()]


def frozen(clean):
    """A norm with the divisor that it had on other states."""

    def change(module, entering, out):
        centred = isinstance(module, nn.LayerNorm)

        def divisor(hidden):
            hidden = hidden - hidden.mean(-1, keepdim=True) if centred else hidden
            eps = module.eps if hasattr(module, "eps") else module.variance_epsilon
            return (hidden.pow(2).mean(-1, keepdim=True) + eps).sqrt()

        bias = module.bias if centred and module.bias is not None else 0
        return (out - bias) * divisor(entering) / divisor(clean) + bias

    return change


def put(value):
    # A copy: Falcon's blocks add in place.
    return lambda module, entering, out: value.clone().view_as(out)


def keep(kept, key, of_input=False):
    def change(module, entering, out):
        kept[key] = (entering if of_input else out).clone()
        return out

    return change


def zero_input(module, args, kwargs):
    if args:
        return (0 * args[0], *args[1:]), kwargs
    return args, kwargs | {"hidden_states": 0 * kwargs["hidden_states"]}


@contextmanager
def hooked(module, change):
    """While open, a function of a module's input and output makes its output."""
    handle = module.register_forward_hook(lambda module, args, out: change(module, args[0], out))
    try:
        yield
    finally:
        handle.remove()
