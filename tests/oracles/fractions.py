"""Traces of states by their definition, a share of what noise changed put back; 1 is all.

One whole forward pass for every site and row, in the model's own precision.
"""

from contextlib import ExitStack

import torch
from torch.nn.functional import pad

from oracles.trace import hooked


def restored(parts, prompt, share):
    """Log-odds of the target and logit difference with a share restored: (measure, row, depth, position)."""
    dtype = next(parts.model.parameters()).dtype
    clean_logits, clean = run(parts, prompt.input_ids, [])
    others = clean_logits.clone()
    others[prompt.target_id] = -torch.inf
    alternative = int(others.argmax())
    n_layers, length = len(parts.blocks), len(prompt.input_ids)
    found = torch.zeros(2, len(prompt.labels), n_layers, length, dtype=torch.float64)
    for row in range(len(prompt.labels)):
        ids = list(prompt.input_ids)
        noise = torch.zeros(length, prompt.noise.shape[-1], dtype=dtype)
        for i, position in enumerate(prompt.subject):
            ids[position] = int(prompt.corrupted_ids[row, i])
            noise[position] = torch.as_tensor(prompt.noise[row, i])
        noising = (parts.token_embedding, "output", lambda hidden, noise=noise: hidden + noise)
        _, corrupted = run(parts, ids, [noising])
        for depth in range(n_layers):
            for position in range(length):
                change = share * (clean[depth][position] - corrupted[depth][position])
                added = pad(change[None], (0, 0, position, length - 1 - position))
                putting = (parts.blocks[depth], "input", lambda hidden, added=added: hidden + added)
                logits, _ = run(parts, ids, [noising, putting])
                target = logits[prompt.target_id]
                rest = torch.cat([logits[: prompt.target_id], logits[prompt.target_id + 1 :]])
                found[:, row, depth, position] = torch.stack(
                    [target - rest.logsumexp(0), target - logits[alternative]]
                )
    return found


def slope(parts, prompt, share=1e-3):
    """What each site's restoration does at its beginning, by differences: (measure, row, depth, position)."""
    return (restored(parts, prompt, share) - restored(parts, prompt, -share)) / (2 * share)


def run(parts, ids, edits):
    """Logits (vocab) of the last position, and the states entering each block, (position, channel)."""
    entered = []

    def keep(hidden):
        entered.append(hidden[0].clone())
        return hidden

    keeping = [(block, "input", keep) for block in parts.blocks]
    with ExitStack() as stack, torch.no_grad():
        for edit in [*edits, *keeping]:
            stack.enter_context(hooked(*edit))
        logits = parts.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
    return logits, entered
