"""Singular value decomposition of the token and position embeddings.

Input: weights.h5. Output: embedding.nc.
"""

from pipeline.job import job
from strata import io
from strata.embedding.svd import decompose
from strata.text.tokens import ordinary

with job(snakemake):
    weights = ordinary(io.open_dataset(snakemake.input.weights))
    n = snakemake.params.components
    dataset = decompose(
        weights["token_embedding"], weights["token_str"], weights.get("position_embedding"), n_separated=n
    )
    model = io.made_by(weights)["model"]
    io.write_dataset(dataset, snakemake.output[0], model=model, config={"components": n})
