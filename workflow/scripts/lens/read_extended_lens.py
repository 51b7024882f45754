"""Decode every depth and half-depth of every token through the model's last blocks.

Input: activations.h5, weights.h5, prompts.tsv, the model.
Output: lens/extended.nc, lens/extended_updates.nc.
"""

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.lens.extended import carry_through
from strata.lens.labels import as_datasets, next_tokens
from strata.lens.readout import read_activations
from strata.model.architecture import find_parts
from strata.model.readout import decoder_from

with job(snakemake) as progress:
    settings, params = snakemake.params.model, snakemake.params
    model, _ = open_model(settings)
    weights = io.open_dataset(snakemake.input.weights)
    activations = io.open_dataset(snakemake.input.activations)
    prompts = io.read_prompts(snakemake.input.prompts)
    decoder = decoder_from(weights, params.norm)
    carry = carry_through(find_parts(model), params.extended["last"])
    targets = next_tokens(activations, prompts)
    fields = read_activations(
        activations, decoder, carry, targets, params.top_k, rank_guesses=False, progress=progress
    )
    datasets = as_datasets(fields, activations, targets, weights["token_str"].values, prompts)
    config = {"top_k": params.top_k, "norm": params.norm, **params.extended}
    for dataset, path in zip(datasets, snakemake.output, strict=True):
        dataset = dataset.assign_attrs(decoder="extended", norm=params.norm)
        io.write_dataset(dataset, path, model=settings, config=config)
