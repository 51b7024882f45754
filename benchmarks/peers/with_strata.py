"""Strata itself."""

import numpy as np
import torch

from strata.lens.readout import read_out
from strata.lens.tuned import KLFromFinal, Training, Whitening
from strata.model.architecture import find_parts
from strata.model.capture import capture_documents
from strata.model.loading import load_model
from strata.model.readout import decoder_from
from strata.model.weights import weights
from strata.trace.corruption import Prompt
from strata.trace.sites import restoration
from strata.trace.sweep import trace_prompts


def tasks(given):
    parts = find_parts(load_model(given.folder))
    tokenizer = given.tokenizer()
    decoder = decoder_from(weights(parts.model, tokenizer.convert_ids_to_tokens))
    documents = [ids[0].tolist() for ids in given.ids]

    def residual():
        kept = dict(capture_documents(parts, documents, ("resid",)))
        return {"resid": torch.from_numpy(np.concatenate([kept[i]["resid"] for i in range(len(kept))], 1))}

    def lens():
        stream = residual()["resid"]
        ids = torch.cat(given.ids, 1)[0]
        found = read_out(stream, decoder, ids, torch.full_like(ids, -1), 5, rank_guesses=False)
        return {"top": found["top_id"], "rank": found["rank_of_final"], "kl": found["kl_final"]}

    def corrupted(index):
        first, last = given.prompts["subject"][index]
        own = documents[index][first : last + 1]
        return Prompt(
            input_ids=documents[index],
            subject=range(first, last + 1),
            labels=[("noise", sample) for sample in range(given.samples)],
            corrupted_ids=np.array([own] * given.samples),
            noise=given.noise(index, parts.token_embedding.embedding_dim).numpy(),
            target_id=given.prompts["target"][index],
        )

    prompts = [corrupted(index) for index in range(len(documents))]

    def trace():
        chosen = {"state": restoration("state", parts.n_layers)}
        traces = trace_prompts(parts, prompts, chosen)["state"]
        p = torch.full((len(traces), parts.n_layers, max(map(len, documents))), torch.nan)
        for own, made in zip(p, traces, strict=True):
            own[:, : made.restored.shape[-1]] = made.restored[0].exp().mean(0)
        return {"p": p}

    stream = residual()["resid"][:, :64]
    rng = torch.Generator().manual_seed(0)
    training = Training(
        Whitening.of([torch.randn(len(stream), 2000, stream.shape[2], generator=rng)]), decoder, 10**6, 1e-3
    )

    def tuned_step():
        training.step(stream)
        final = decoder.logits(stream[-1]).softmax(-1)
        return {"loss": KLFromFinal.apply(decoder.rows(stream[:-1]), decoder, final).mean(-1)}

    return {"residual": residual, "lens": lens, "trace": trace, "tuned_step": tuned_step}
