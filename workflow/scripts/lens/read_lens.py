"""Decode every depth and half-depth of every token, and what sub-blocks add.

Input: activations.h5, weights.h5, prompts.tsv, a decoder's maps if it has any.
Output: lens/{decoder}.nc, lens/{decoder}_updates.nc.
"""

from pipeline.job import job
from strata import io
from strata.lens.decoders import DepthMaps
from strata.lens.labels import as_datasets, next_tokens
from strata.lens.readout import carry_by, read_activations
from strata.model.readout import decoder_from

with job(snakemake) as progress:
    weights = io.open_dataset(snakemake.input.weights)
    activations = io.open_dataset(snakemake.input.activations)
    prompts = io.read_prompts(snakemake.input.prompts)
    maps = [DepthMaps.from_dataset(io.open_dataset(path)) for path in snakemake.input.maps]
    top_k, norm = snakemake.params.top_k, snakemake.params.norm
    decoder = decoder_from(weights, norm)
    carry = carry_by(*maps, n_layers=activations.sizes["layer"])
    targets = next_tokens(activations, prompts)
    rank_guesses = snakemake.wildcards.decoder == "logit"
    fields = read_activations(
        activations, decoder, carry, targets, top_k, rank_guesses=rank_guesses, progress=progress
    )
    datasets = as_datasets(fields, activations, targets, weights["token_str"].values, prompts)
    made_by = {"model": io.made_by(activations)["model"], "config": {"top_k": top_k, "norm": norm}}
    for dataset, path in zip(datasets, snakemake.output, strict=True):
        dataset = dataset.assign_attrs(decoder=snakemake.wildcards.decoder, norm=norm)
        io.write_dataset(dataset, path, **made_by)
