"""Average the approximate traces of states by category, as exact ones are.

Input: trace/approximate.nc. Output: trace/approximate_by_category.nc.
"""

from pipeline.job import job
from strata import io
from strata.trace.averages import average_by_category

with job(snakemake):
    trace, config = io.open_dataset(snakemake.input.trace), snakemake.params.averaging
    averages = average_by_category(trace, **config)
    io.write_dataset(averages, snakemake.output[0], model=io.made_by(trace)["model"], config=config)
