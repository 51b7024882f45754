"""What remains of a restored state's effect with MLPs, or attention, held at corrupted values.

Input: trace/state.nc, trace/state_severed_{part}.nc. Output: trace/severed_{part}.nc.
"""

from pipeline.job import job
from strata import io
from strata.trace.restoration import severed_share

with job(snakemake):
    state, severed = (
        io.open_dataset(path).load() for path in (snakemake.input.state, snakemake.input.severed)
    )
    state = state.sel(noise=severed["noise"].values).isel(sample=slice(severed.sizes["sample"]))
    config = snakemake.params.averaging
    shares = severed_share(state, severed, **config)
    io.write_dataset(shares, snakemake.output[0], model=io.made_by(state)["model"], config=config)
