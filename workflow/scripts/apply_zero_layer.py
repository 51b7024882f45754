"""The model without its layers: what every token's embedding calls for, exceptions, attractors, the clump.

Input: weights.h5; optionally a table of counts. Output: embedding/zero_layer.nc, zero_layer_exceptions.tsv,
zero_layer_attractors.tsv, clump.nc, clump.tsv.
"""

import torch

from strata import io
from strata.embedding import clump, zero_layer
from strata.job import job

with job(snakemake):
    model, made = snakemake.params.model, snakemake.params.zero_layer
    weights = io.open_dataset(snakemake.input.weights)
    table = snakemake.input.get("counts")
    counts = io.read_table(table) if table else None
    statistics = snakemake.params.statistics

    crowded = clump.find_clumps(weights, counts, **made["clump"], **statistics)
    io.write_dataset(crowded, snakemake.output.clump, model=model, config=made)
    io.write_table(clump.clump_table(crowded), snakemake.output.clump_table)

    on_gpu = model["device"] != "cpu" and torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    called = zero_layer.analyse(weights, counts, **made["calls"], **statistics, device=device)
    io.write_dataset(called, snakemake.output.called, model=model, config=made)
    io.write_table(zero_layer.exception_table(called), snakemake.output.exceptions)
    io.write_table(zero_layer.attractor_table(called), snakemake.output.attractors)
