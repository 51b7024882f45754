"""Correlate candidate frequency features with counts, and with each other.

Input: weights.h5, embedding.nc, a table of token counts. Output: embedding/frequency.nc, frequency.tsv.
"""

from pipeline.job import job
from strata import io
from strata.embedding import frequency
from strata.text.tokens import ordinary

with job(snakemake):
    settings = snakemake.params.frequency
    weights = ordinary(io.open_dataset(snakemake.input.weights))
    result = frequency.analyse(
        weights,
        io.open_dataset(snakemake.input.embedding),
        io.read_table(snakemake.input.counts),
        **settings,
    )
    model = io.made_by(weights)["model"]
    io.write_dataset(result, snakemake.output.frequency, model=model, config=settings)
    io.write_table(frequency.table(result), snakemake.output.table)
