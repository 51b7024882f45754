"""Causal tracing by its definition: one whole forward pass for every site and sample.

Every run is a list of edits: a module, whether its input or its output is edited, and a function of
the hidden states (1, position, channel) that changes them.
"""

from contextlib import ExitStack, contextmanager
from itertools import product

import torch

MEASURES = ("logp_target", "logit_difference", "kl_clean", "logp_set")


def trace(parts, prompt, what, width=1, convention="code"):
    """Measures of all runs of a prompt: restored (measure, row, site, position), corrupted, clean.

    Every position is restored, those before the subject too. ``prompt`` is a
    `strata.trace.corruption.Prompt`; of ``parts`` only the modules are used. ``what`` is a name, a head's
    number, or a function of layer, position and an MLP's clean activations: which neurons are put back.
    """
    n_layers, length = len(parts.blocks), len(prompt.input_ids)
    clean_logits, clean = run(parts, prompt.input_ids, [])

    def measures(logits):
        return measured(logits, clean_logits, prompt.target_id, prompt.completions)

    n_rows = len(prompt.labels)
    corrupted_measures = torch.zeros(len(MEASURES), n_rows)
    restored_measures = torch.zeros(len(MEASURES), n_rows, n_layers, length)
    for row in range(n_rows):
        ids = list(prompt.input_ids)
        noise = torch.zeros(length, prompt.noise.shape[-1])
        for i, position in enumerate(prompt.subject):
            ids[position] = int(prompt.corrupted_ids[row, i])
            noise[position] = torch.as_tensor(prompt.noise[row, i])
        corrupting = [(parts.token_embedding, "output", lambda hidden, noise=noise: hidden + noise)]
        corrupted_logits, corrupted = run(parts, ids, corrupting)
        corrupted_measures[:, row] = measures(corrupted_logits)
        for site in range(n_layers):
            for position in range(length):
                restoring = edits(parts, what, site, position, clean, corrupted, width, convention)
                logits, _ = run(parts, ids, corrupting + restoring)
                restored_measures[:, row, site, position] = measures(logits)
    return restored_measures, corrupted_measures, measures(clean_logits)


def edits(parts, what, site, position, clean, corrupted, width, convention):
    """What is put back at a site, and what is held there."""
    n_layers = len(parts.blocks)
    if isinstance(what, int):  # the number of a head
        size = clean["head", site].shape[-1] // parts.n_heads
        mixed = corrupted["head", site].clone()
        mixed[0, position, what * size : (what + 1) * size] = clean["head", site][
            0, position, what * size : (what + 1) * size
        ]
        return [
            (
                parts.attention_values[site],
                "input",
                lambda hidden: put_at(hidden, position, mixed[0, position]),
            )
        ]

    if callable(what):
        mixed = corrupted["neuron", site].clone()
        for neuron in what(site, position, clean["neuron", site][0, position]):
            mixed[0, position, neuron] = clean["neuron", site][0, position, neuron]
        return [
            (parts.mlp_values[site], "input", lambda hidden: put_at(hidden, position, mixed[0, position]))
        ]

    def put(values):
        return lambda hidden: put_at(hidden, position, values[0, position])

    if what in ("mlp", "attn"):
        modules = parts.sub_blocks(what)
        layers = window(site, width, convention, n_layers)
        return [(modules[layer], "output", put(clean[what, layer])) for layer in layers]
    state = [(parts.blocks[site], "input", put(clean["state", site]))]
    after = range(site, n_layers)
    if what == "state_severed_mlp":
        return state + [(parts.mlp_outs[layer], "output", put(corrupted["mlp", layer])) for layer in after]
    if what == "state_severed_attn":
        return state + [
            (parts.attention_outs[layer], "output", put(corrupted["attn", layer])) for layer in after
        ]
    return state


def window(layer, width, convention, n_layers):
    """The layers of a window: ROME's code word for word, and its paper's l-4 ... l+5 of ten."""
    if convention == "code":
        return range(max(0, layer - width // 2), min(n_layers, layer - (-width // 2)))
    below = width // 2 if width % 2 else width // 2 - 1
    return [other for other in range(n_layers) if layer - below <= other <= layer + width // 2]


def run(parts, ids, edited):
    """Logits of the last position, and the states entering, and outputs of sub-blocks, by layer."""
    kept = {}

    def keep(key):
        def kept_as_it_is(hidden):
            kept[key] = hidden.clone()
            return hidden

        return kept_as_it_is

    keeping = []
    for layer, block in enumerate(parts.blocks):
        keeping.append((block, "input", keep(("state", layer))))
        keeping.append((parts.mlp_outs[layer], "output", keep(("mlp", layer))))
        keeping.append((parts.attention_outs[layer], "output", keep(("attn", layer))))
        keeping.append((parts.attention_values[layer], "input", keep(("head", layer))))
        keeping.append((parts.mlp_values[layer], "input", keep(("neuron", layer))))
    with ExitStack() as stack, torch.inference_mode():
        for edit in [*edited, *keeping]:
            stack.enter_context(hooked(*edit))
        logits = parts.model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0, -1]
    return logits.float(), kept


@contextmanager
def hooked(module, side, change):
    """While open, what enters or leaves a module is changed; attention leaves a tuple, OPT's MLP no rows."""

    def on_input(module, args, kwargs):
        if args:
            first = args[0]
            return (change(first) if first.dim() == 3 else change(first[None])[0], *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": change(kwargs["hidden_states"])}

    def on_output(module, args, output):
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        return change(output[None])[0] if output.dim() == 2 else change(output)

    if side == "input":
        handle = module.register_forward_pre_hook(on_input, with_kwargs=True)
    else:
        handle = module.register_forward_hook(on_output)
    try:
        yield
    finally:
        handle.remove()


def put_at(hidden, position, value):
    hidden = hidden.clone()
    hidden[:, position] = value
    return hidden


def measured(logits, clean_logits, target_id, completions):
    """The four measures of one run, by their definitions."""
    p, p_clean = logits.double().softmax(-1), clean_logits.double().softmax(-1)
    others = clean_logits.clone()
    others[target_id] = -torch.inf
    p_set = sum(p[i] for i in set(completions)) if completions else torch.tensor(torch.nan)
    return torch.stack(
        [
            p[target_id].log(),
            logits[target_id] - logits[others.argmax()],
            (p_clean * (p_clean.log() - p.log())).sum(),
            p_set.log(),
        ]
    ).float()


def trace_batched(parts, prompt, what, width=1, every=1):
    """The loop that ROME's code runs: all rows of a site in one batch, the clean row beside them.

    Returns log p of the target (row, site, position), every position; for benchmarks. Of all sites and
    positions, ``every`` so many, the others are NaN.
    """
    n_layers, length, n_rows = len(parts.blocks), len(prompt.input_ids), len(prompt.labels)
    ids = torch.tensor([list(prompt.input_ids)] * (1 + n_rows), device=parts.device)
    ids[1:, list(prompt.subject)] = torch.as_tensor(prompt.corrupted_ids).to(ids)
    noise = torch.zeros(1 + n_rows, length, prompt.noise.shape[-1], device=ids.device)
    noise[1:, list(prompt.subject)] = torch.as_tensor(prompt.noise).to(noise)
    corrupting = (parts.token_embedding, "output", lambda hidden: hidden + noise)
    held = {}

    def keep(key):
        def kept_as_it_is(hidden):
            held[key] = hidden
            return hidden

        return kept_as_it_is

    def from_clean(position):
        def put(hidden):
            hidden = hidden.clone()
            hidden[1:, position] = hidden[0, position]
            return hidden

        return put

    def from_corrupted(key, position):
        def put(hidden):
            hidden = hidden.clone()
            hidden[1:, position] = held[key][1:, position]
            return hidden

        return put

    def forward(edited):
        with ExitStack() as stack, torch.inference_mode():
            for edit in [corrupting, *edited]:
                stack.enter_context(hooked(*edit))
            return parts.model(input_ids=ids, use_cache=False).logits[1:, -1].float().log_softmax(-1)

    modules = {part: parts.sub_blocks(part) for part in ("mlp", "attn")}
    part = what.removeprefix("state_severed_")
    if part != what:
        forward([(module, "output", keep(layer)) for layer, module in enumerate(modules[part])])
    restored = torch.full((n_rows, n_layers, length), torch.nan)
    for site, position in list(product(range(n_layers), range(length)))[::every]:
        if what in modules:
            layers = window(site, width, "code", n_layers)
            edited = [(modules[what][layer], "output", from_clean(position)) for layer in layers]
        else:
            edited = [(parts.blocks[site], "input", from_clean(position))]
            if part != what:
                edited += [
                    (modules[part][layer], "output", from_corrupted(layer, position))
                    for layer in range(site, n_layers)
                ]
        restored[:, site, position] = forward(edited)[:, prompt.target_id].cpu()
    return restored
