"""Bring a published lens into the form of a fitted one.

Input: weights.h5, the lens's file or folder. Output: lens/{decoder}_published.nc.
"""

from pipeline.job import job
from strata import io
from strata.lens.artifacts import LOADERS

with job(snakemake):
    weights = io.open_dataset(snakemake.input.weights)
    n_layers, n_channels = weights.attrs["n_layers"], weights.sizes["channel"]
    source, model = snakemake.input.lens, io.made_by(weights)["model"]
    load, unembedding = LOADERS[snakemake.wildcards.decoder], weights["unembedding"].values
    maps = load(source, n_layers, n_channels, model["source"], unembedding)
    io.write_dataset(maps.to_dataset(), snakemake.output[0], model=model, source=source)
