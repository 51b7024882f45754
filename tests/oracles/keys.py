"""What `strata.keys` finds, document by document and pair by pair, each family's MLP written out."""

from itertools import combinations

import numpy as np
import torch

from strata.model.architecture import find_parts

HIDDEN = {
    "gpt2": lambda mlp, x: mlp.act(mlp.c_fc(x)),
    "ctrl": lambda mlp, x: torch.relu(x @ mlp[0].weight.T + mlp[0].bias),
    "gpt-neox": lambda mlp, x: mlp.act(mlp.dense_h_to_4h(x)),
    "opt": lambda fc1, x: torch.relu(x @ fc1.weight.T + fc1.bias)[None],  # rows and positions in a row
    "bloom": lambda mlp, x: mlp.gelu_impl(mlp.dense_h_to_4h(x)),
    "llama": lambda mlp, x: mlp.act_fn(mlp.gate_proj(x)) * mlp.up_proj(x),
}
"""By family, what an MLP's hidden layer holds for what enters the MLP: one family of every kind."""


@torch.no_grad()
def hidden_layers(model, family, document):
    """What every MLP's hidden layer holds (layer, position, channel) when a document is run alone."""
    found = []

    def keep(module, args):
        found.append(HIDDEN[family](module, args[0])[0])

    handles = [mlp.register_forward_pre_hook(keep) for mlp in find_parts(model).mlps]
    model(input_ids=torch.tensor([document]), use_cache=False)
    for handle in handles:
        handle.remove()
    return torch.stack(found).numpy()


def strongest(model, family, documents, layer, channel):
    """The largest activation of a key in each document, in contexts that began no document before.

    A row each: the activation and, by index in all the text, the tokens that have it (but for rounding).
    """
    begun, best, start = set(), [], 0
    for document in documents:
        values = hidden_layers(model, family, document)[layer, :, channel]
        new = [p for p in range(len(document)) if tuple(document[: p + 1]) not in begun]
        begun |= {tuple(document[: p + 1]) for p in range(len(document))}
        if new:
            most = max(float(values[p]) for p in new)
            best.append((most, [start + p for p in new if values[p] > most - 1e-5]))
        start += len(document)
    return best


def agreement(labels, tokens=None):
    """Share of pairs with the same label, -1 being none; with tokens, of the pairs whose tokens differ."""
    pairs = [
        labels[a] == labels[b]
        for a, b in combinations(range(len(labels)), 2)
        if labels[a] >= 0 and labels[b] >= 0 and (tokens is None or tokens[a] != tokens[b])
    ]
    return sum(pairs) / len(pairs) if pairs else np.nan
