"""Average the traces of the control run by category.

Input: trace/control/state.nc. Output: trace/control/by_category.nc.
"""

from pipeline.job import job
from strata import io
from strata.trace.averages import average_by_category

with job(snakemake):
    trace = io.open_dataset(snakemake.input.trace).load()
    config = snakemake.params.averaging
    averages = average_by_category(trace, **config)
    io.write_dataset(averages, snakemake.output[0], model=io.made_by(trace)["model"], config=config)
