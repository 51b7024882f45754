"""Decode every depth of every token with the model's own unembedding.

Input: activations.h5, weights.h5, prompts.tsv. Output: lens/logit.nc.
"""

import torch

from strata import io
from strata.decoders import decoder_from
from strata.job import job
from strata.lens import as_dataset, next_tokens, read_out

with job(snakemake) as progress:
    weights = io.open_dataset(snakemake.input.weights)
    activations = io.open_dataset(snakemake.input.activations)
    prompts = io.read_prompts(snakemake.input.prompts)
    targets = next_tokens(activations, prompts)
    fields = read_out(
        torch.from_numpy(activations["resid"].values).float(),
        decoder_from(weights),
        torch.from_numpy(activations["token_id"].values),
        torch.from_numpy(targets),
        top_k=snakemake.params.top_k,
        progress=progress,
    )
    dataset = as_dataset(fields, activations, targets, weights["token_str"].values, prompts)
    config = {"top_k": snakemake.params.top_k}
    model = io.made_by(activations)["model"]
    io.write_dataset(dataset, snakemake.output[0], model=model, decoder="logit", config=config)
