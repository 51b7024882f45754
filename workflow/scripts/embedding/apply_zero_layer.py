"""The model without its layers: every token's best match, the exceptions, their attractors.

Input: weights.h5, a table of token counts. Output: embedding/zero_layer.nc, exceptions.tsv, attractors.tsv.
"""

import torch

from pipeline.job import job
from strata import io
from strata.embedding import zero_layer
from strata.embedding.zero_layer_tables import attractor_table, exception_table
from strata.text.tokens import ordinary

with job(snakemake):
    model, made = snakemake.params.model, snakemake.params.zero_layer
    weights, counts = (
        ordinary(io.open_dataset(snakemake.input.weights)),
        io.read_table(snakemake.input.counts),
    )
    device = "cuda" if model["device"] != "cpu" and torch.cuda.is_available() else "cpu"
    called = zero_layer.analyse(weights, counts, **made, device=device)
    io.write_dataset(called, snakemake.output.called, model=model, config=made)
    io.write_table(exception_table(called), snakemake.output.exceptions)
    io.write_table(attractor_table(called), snakemake.output.attractors)
