"""Compare the approximate trace of states with the exact one, by category and depth.

Input: trace/state.nc, trace/approximate.nc. Output: trace/approximation.nc.
"""

from pipeline.job import job
from strata import io
from strata.trace.approximation import compare_approximation

with job(snakemake):
    exact, approximate = (io.open_dataset(snakemake.input[name]) for name in ("exact", "approximate"))
    config = snakemake.params.averaging
    compared = compare_approximation(exact, approximate, **config)
    io.write_dataset(compared, snakemake.output[0], model=io.made_by(exact)["model"], config=config)
