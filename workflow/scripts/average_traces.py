"""Average the normalised restoration of subject and final token by category.

Input: trace/state.nc. Output: trace/by_category.nc.
"""

from strata import io
from strata.job import job
from strata.restoration import average_by_category

with job(snakemake):
    chosen = {
        "min_gap": snakemake.params.min_gap,
        "n_resamples": snakemake.params.resamples,
        "interval": snakemake.params.interval,
        "seed": snakemake.params.seed,
    }
    trace = io.open_dataset(snakemake.input.trace)
    averages = average_by_category(trace, **chosen)
    io.write_dataset(averages, snakemake.output[0], model=io.made_by(trace)["model"], config=chosen)
