"""The gains of every layer's norms, their outliers, and how they go with the position embedding.

Input: weights.h5, embedding/channels.nc. Output: embedding/gains.nc, embedding/gains.tsv.
"""

from pipeline.job import job
from strata import io
from strata.embedding.gains import describe, outlier_table

with job(snakemake):
    weights, channels = (
        io.open_dataset(path) for path in (snakemake.input.weights, snakemake.input.channels)
    )
    made = {"shuffles": snakemake.params.shuffles, **snakemake.params.statistics}
    result = describe(weights, channels, **made)
    io.write_dataset(result, snakemake.output.gains, model=io.made_by(weights)["model"], config=made)
    io.write_table(outlier_table(result, channels), snakemake.output.table)
