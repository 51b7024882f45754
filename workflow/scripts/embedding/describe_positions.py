"""How smooth and how sinusoidal the channels of the position embedding are.

Input: weights.h5, embedding/channels.nc. Output: embedding/positions.nc.
"""

from pipeline.job import job
from strata import io
from strata.embedding.positions import describe

with job(snakemake):
    weights, channels = (
        io.open_dataset(path) for path in (snakemake.input.weights, snakemake.input.channels)
    )
    made = {**snakemake.params.positions, **snakemake.params.statistics}
    result = describe(weights.get("position_embedding"), channels.get("upper"), **made)
    io.write_dataset(result, snakemake.output[0], model=io.made_by(weights)["model"], config=made)
