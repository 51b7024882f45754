"""transformer-lens: its bridge to transformers' models, cache and patching."""

import torch
from transformer_lens import patching
from transformer_lens.model_bridge import TransformerBridge
from worker import joined, readouts


def tasks(given):
    model = TransformerBridge.boot_transformers(given.folder, dtype=torch.float32)
    n_layers = model.cfg.n_layers
    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(n_layers)]
    names.append(f"blocks.{n_layers - 1}.hook_resid_post")

    @torch.no_grad()
    def stream(ids):
        _, cache = model.run_with_cache(ids, names_filter=names)
        return torch.stack([cache[name][0] for name in names])

    def residual():
        return {"resid": torch.cat([stream(ids) for ids in given.ids], 1)}

    @torch.no_grad()
    def lens():
        return joined([readouts(model.unembed(model.ln_final(stream(ids)))) for ids in given.ids])

    @torch.no_grad()
    def trace():
        width = max(ids.shape[1] for ids in given.ids)
        p = torch.full((len(given.ids), n_layers, width), torch.nan)
        for index, ids in enumerate(given.ids):
            target = given.prompts["target"][index]
            first, last = given.prompts["subject"][index]
            noise = given.noise(index, model.cfg.d_model)
            _, clean = model.run_with_cache(ids, names_filter=names)

            def corrupt(value, hook, first=first, last=last, noise=noise):
                value[:, first : last + 1] += noise
                return value

            def metric(logits, target=target):
                return logits[:, -1].softmax(-1)[:, target].mean()

            model.add_hook("embed.hook_out", corrupt)
            found = patching.get_act_patch_resid_pre(model, ids.repeat(given.samples, 1), clean, metric)
            model.reset_hooks()
            p[index, :, : ids.shape[1]] = found
        return {"p": p}

    return {"residual": residual, "lens": lens, "trace": trace}
