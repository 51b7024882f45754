"""Find the clumps of tokens in the plane of outlier channel and norm, and list their tokens.

Input: weights.h5, a table of token counts. Output: embedding/clump.nc, clump.tsv.
"""

from pipeline.job import job
from strata import io
from strata.embedding.clump import clump_table, find_clumps
from strata.text.tokens import ordinary

with job(snakemake):
    weights, made = ordinary(io.open_dataset(snakemake.input.weights)), snakemake.params.clump
    found = find_clumps(weights, io.read_table(snakemake.input.counts), **made)
    io.write_dataset(found, snakemake.output.clump, model=io.made_by(weights)["model"], config=made)
    io.write_table(clump_table(found), snakemake.output.table)
