"""The model without its layers: every token's best match, the exceptions, their attractors.

Input: weights.h5, a table of token counts. Output: embedding/zero_layer.nc, exceptions.tsv, attractors.tsv.
"""

from pipeline.job import job
from strata import io
from strata.embedding import zero_layer
from strata.embedding.zero_layer_tables import attractor_table, exception_table
from strata.model.device import usable
from strata.text.tokens import ordinary

with job(snakemake) as progress:
    model, made = snakemake.params.model, snakemake.params.zero_layer
    weights, counts = (
        ordinary(io.open_dataset(snakemake.input.weights)),
        io.read_table(snakemake.input.counts),
    )
    device = usable(model["device"])
    called = zero_layer.analyse(weights, counts, **made, device=device, progress=progress)
    io.write_dataset(called, snakemake.output.called, model=model, config=made)
    io.write_table(exception_table(called), snakemake.output.exceptions)
    io.write_table(attractor_table(called), snakemake.output.attractors)
