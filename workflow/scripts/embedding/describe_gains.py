"""How smooth the channels of the position embedding are, and how the gains of all norms go with them.

Input: weights.h5, embedding/channels.nc. Output: embedding/positions.nc, gains.nc, gains.tsv.
"""

from pipeline.job import job
from strata import io
from strata.embedding import gains, positions

with job(snakemake):
    weights, channels = (
        io.open_dataset(path) for path in (snakemake.input.weights, snakemake.input.channels)
    )
    model, statistics, out = io.made_by(weights)["model"], snakemake.params.statistics, snakemake.output
    made = {**snakemake.params.positions, **statistics}
    result = positions.describe(weights.get("position_embedding"), channels.get("upper"), **made)
    io.write_dataset(result, out.positions, model=model, config=made)

    made = {"shuffles": snakemake.params.shuffles, **statistics}
    result = gains.describe(weights, channels, **made)
    io.write_dataset(result, out.gains, model=model, config=made)
    io.write_table(gains.outlier_table(result, channels), out.table)
