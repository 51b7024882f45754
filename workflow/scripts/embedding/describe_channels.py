"""Moments of every channel of the embeddings, its group, and the rivalry of tokens and positions.

Input: weights.h5, counts of tokens in training if known. Output: embedding/channels.nc.
"""

from pipeline.job import job
from strata import io
from strata.embedding.channels import describe
from strata.text.documents import count_by_row
from strata.text.tokens import ordinary

with job(snakemake):
    weights, statistics = ordinary(io.open_dataset(snakemake.input.weights)), snakemake.params.statistics
    counts = None
    if snakemake.input.counts:
        counts = count_by_row(weights["token_id"], io.read_table(snakemake.input.counts))
    result = describe(weights["token_embedding"], weights.get("position_embedding"), counts, **statistics)
    model = io.made_by(weights)["model"]
    io.write_dataset(result, snakemake.output[0], model=model, config=statistics)
