"""nnsight, through nnterp's standard names."""

import nnsight
import torch
from nnterp import StandardizedTransformer
from worker import joined, readouts


def tasks(given):
    model = StandardizedTransformer(given.folder, device_map="cpu", torch_dtype=torch.float32)
    n_layers = model.num_layers

    def stream(ids):
        with torch.no_grad(), model.trace(ids):
            states = [model.layers_input[layer] for layer in range(n_layers)]
            states = nnsight.save([*states, model.layers_output[n_layers - 1]])
        return torch.stack([state.reshape(ids.shape[1], -1) for state in states])

    def residual():
        return {"resid": torch.cat([stream(ids) for ids in given.ids], 1)}

    @torch.no_grad()
    def lens():
        head, norm = model.lm_head._module, model.ln_final._module
        return joined([readouts(head(norm(stream(ids)))) for ids in given.ids])

    def trace():
        width = max(ids.shape[1] for ids in given.ids)
        p = torch.full((len(given.ids), n_layers, width), torch.nan)
        for index, ids in enumerate(given.ids):
            target = given.prompts["target"][index]
            first, last = given.prompts["subject"][index]
            clean = stream(ids)
            noise, rows = given.noise(index, clean.shape[-1]), ids.repeat(given.samples, 1)
            for layer in range(n_layers):
                for position in range(ids.shape[1]):
                    with torch.no_grad(), model.trace(rows):
                        model.token_embeddings[:, first : last + 1] += noise
                        model.layers_input[layer][:, position] = clean[layer, position]
                        answer = model.logits[:, -1].softmax(-1)[:, target].mean().save()
                    p[index, layer, position] = answer
        return {"p": p}

    return {"residual": residual, "lens": lens, "trace": trace}
