"""What `strata.lens.mixing` computes, one whole forward pass for every mixed state."""

from contextlib import ExitStack

import torch


def losses(parts, ids, edit=None):
    """Loss of every token but the first, and states (position, channel) entering each block.

    ``edit(layer, states)`` says what enters a block in the place of its states (row, position, channel).
    """
    entered = []

    def before(layer):
        def hook(module, args, kwargs):
            states = args[0] if args else kwargs["hidden_states"]
            states = states.clone() if edit is None else edit(layer, states.clone())
            entered.append(states[0].clone())
            return ((states, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": states})

        return hook

    with ExitStack() as hooks, torch.no_grad():
        for layer, block in enumerate(parts.blocks):
            hooks.enter_context(block.register_forward_pre_hook(before(layer), with_kwargs=True))
        logits = parts.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    logp = logits[:-1].double().log_softmax(-1)
    return -logp[torch.arange(len(ids) - 1), torch.tensor(ids[1:])], entered, logits


def change(parts, ids, position, depth, applied, token, share, horizon):
    """Change of the losses of ``horizon`` tokens behind the next one of a position."""
    clean, entered, _ = losses(parts, ids)
    embedding = parts.model.get_input_embeddings().weight[token]
    if parts.project_in is not None:
        embedding = parts.project_in.weight @ embedding
    embedding = embedding / embedding.square().sum().sqrt()

    def edit(layer, states):
        if layer == depth or (applied == "onwards" and layer > depth):
            own = entered[layer][position]
            states[0, position] = (1 - share) * own + share * own.square().sum().sqrt() * embedding
        return states

    mixed, _, _ = losses(parts, ids, edit)
    # The loss of token t stands at t - 1.
    behind = slice(position + 1, position + 1 + horizon)
    return (mixed - clean)[behind]
