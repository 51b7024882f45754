"""Average traces of windows of MLPs and attention, and what remains of a state's effect with either severed.

Severed means held at its corrupted values.

Input: trace/{state,mlp,attn,state_severed_mlp,state_severed_attn}.nc.
Output: trace/by_category_{mlp,attn}.nc, trace/severed_{mlp,attn}.nc.
"""

from pipeline.job import job
from strata import io
from strata.trace.averages import average_by_category
from strata.trace.severed import severed_share

with job(snakemake):
    given, config = snakemake.input, snakemake.params.averaging
    state = io.open_dataset(given.state).load()
    made_by = {"model": io.made_by(state)["model"], "config": config}
    for path, out in zip(given.windows, snakemake.output.averages, strict=True):
        averages = average_by_category(io.open_dataset(path).load(), **config)
        io.write_dataset(averages, out, **made_by)
    for path, out in zip(given.severed, snakemake.output.shares, strict=True):
        severed = io.open_dataset(path).load()
        # The state's trace has more levels and samples.
        alike = state.sel(noise=severed["noise"].values).isel(sample=slice(severed.sizes["sample"]))
        io.write_dataset(severed_share(alike, severed, **config), out, **made_by)
