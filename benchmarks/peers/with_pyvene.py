"""pyvene: ROME's trace, a model of interventions for each depth."""

import pyvene as pv
import torch


class AddNoise(pv.ConstantSourceIntervention, pv.LocalistRepresentationIntervention):
    """Adds to the subject's states what it is told to."""

    noise: torch.Tensor

    def forward(self, base, source=None, subspaces=None, **kwargs):
        return base + self.noise


def tasks(given):
    model = given.model()
    n_layers = model.config.num_hidden_layers

    def place(layer, component, kind):
        return {"layer": layer, "component": component, "intervention_type": kind}

    restoring = {
        layer: pv.IntervenableModel(
            [place(0, "block_input", AddNoise), place(layer, "block_input", pv.VanillaIntervention)],
            model=model,
        )
        for layer in range(1, n_layers)
    }

    @torch.no_grad()
    def trace():
        """Of all depths but that of the embedding, where two interventions would meet."""
        p = torch.full((len(given.ids), n_layers, max(ids.shape[1] for ids in given.ids)), torch.nan)
        for index, ids in enumerate(given.ids):
            first, last = given.prompts["subject"][index]
            rows = {"input_ids": ids.repeat(given.samples, 1)}
            noised = [list(range(first, last + 1))] * given.samples
            noise = given.noise(index, model.config.hidden_size)
            for layer, restored in restoring.items():
                next(iter(restored.interventions.values())).noise = noise
                for position in range(ids.shape[1]):
                    here = [[position]] * given.samples
                    where = {"sources->base": ([None, here], [noised, here])}
                    _, output = restored(rows, [None, rows], where)
                    answer = output.logits[:, -1].softmax(-1)[:, given.prompts["target"][index]]
                    p[index, layer, position] = answer.mean()
        return {"p": p}

    return {"trace": trace}
