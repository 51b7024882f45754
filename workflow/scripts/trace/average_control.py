"""Average the traces of the control run by category, of prompts that are still completed there.

Input: trace/control/state.nc. Output: trace/control/by_category.nc.
"""

from pipeline.job import job
from strata import io
from strata.trace.averages import average_by_category
from strata.trace.restoration import still_guessed

with job(snakemake):
    trace = io.open_dataset(snakemake.input.trace).load()
    config = snakemake.params.averaging
    trace = still_guessed(trace)
    averages = average_by_category(trace, **config)
    averages = averages.assign_coords(still_guessed=trace["still_guessed"].reset_coords(drop=True))
    io.write_dataset(averages, snakemake.output[0], model=io.made_by(trace)["model"], config=config)
