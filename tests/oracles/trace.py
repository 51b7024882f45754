"""Causal tracing by its definition: one whole forward pass for every depth, position and sample."""

import torch


def trace_states(model, embedding, blocks, input_ids, subject_positions, target_id, noise):
    """Log p of the target, (sample, depth, position) with every position, and (sample) corrupted.

    ``embedding`` and ``blocks`` are the model's modules, found by the caller.
    """
    ids = torch.tensor([list(input_ids)])
    clean = {}

    def keep(depth):
        def hook(module, args, kwargs):
            clean[depth] = (args[0] if args else kwargs["hidden_states"]).clone()

        return hook

    handles = [b.register_forward_pre_hook(keep(d), with_kwargs=True) for d, b in enumerate(blocks)]
    clean_logp = _logp(model, ids, target_id)
    _remove(handles)

    n_samples, length = len(noise), len(input_ids)
    restored = torch.full((n_samples, len(blocks), length), torch.nan)
    corrupted = torch.full((n_samples,), torch.nan)
    for sample in range(n_samples):

        def noised(module, args, output, sample=sample):
            output = output.clone()
            for i, position in enumerate(subject_positions):
                output[0, position] += noise[sample, i]
            return output

        handle = embedding.register_forward_hook(noised)
        corrupted[sample] = _logp(model, ids, target_id)
        for depth in range(len(blocks)):
            for position in range(length):

                def restore(module, args, kwargs, depth=depth, position=position):
                    hidden = (args[0] if args else kwargs["hidden_states"]).clone()
                    hidden[0, position] = clean[depth][0, position]
                    if args:
                        return (hidden, *args[1:]), kwargs
                    return args, {**kwargs, "hidden_states": hidden}

                inner = blocks[depth].register_forward_pre_hook(restore, with_kwargs=True)
                restored[sample, depth, position] = _logp(model, ids, target_id)
                inner.remove()
        handle.remove()
    return restored, corrupted, clean_logp


def trace_batched(model, embedding, blocks, input_ids, subject_positions, target_id, noise):
    """The loop that ROME's code runs: all samples of a site in one batch, the clean row beside them.

    Returns log p (sample, depth, position), every position; for benchmarks.
    """
    n_samples, length = len(noise), len(input_ids)
    ids = torch.tensor([list(input_ids)] * (1 + n_samples))

    def noised(module, args, output):
        output = output.clone()
        output[1:, list(subject_positions)] += noise
        return output

    restored = torch.full((n_samples, len(blocks), length), torch.nan)
    handle = embedding.register_forward_hook(noised)
    for depth in range(len(blocks)):
        for position in range(length):

            def restore(module, args, position=position):
                hidden = args[0].clone()
                hidden[1:, position] = hidden[0, position]
                return (hidden, *args[1:])

            inner = blocks[depth].register_forward_pre_hook(restore)
            with torch.inference_mode():
                logits = model(input_ids=ids, use_cache=False).logits[1:, -1].float()
            restored[:, depth, position] = logits.log_softmax(-1)[:, target_id]
            inner.remove()
    handle.remove()
    return restored


def _logp(model, ids, target_id):
    with torch.inference_mode():
        return model(input_ids=ids, use_cache=False).logits[0, -1].float().log_softmax(-1)[target_id]


def _remove(handles):
    for handle in handles:
        handle.remove()
