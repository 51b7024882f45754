"""Average traces of windows of MLPs and attention, and what remains of a state's effect with either severed.

Severed means held at its corrupted values. Single heads and groups of neurons too, and what every part
adds to the answer's logit.

Input: trace/{state,mlp,attn,state_severed_mlp,state_severed_attn,heads,neurons,attribution}.nc.
Output: trace/by_category_{mlp,attn,heads,neurons,attribution}.nc, trace/severed_{mlp,attn}.nc.
"""

from pipeline.job import job
from strata import io
from strata.stats.bootstrap import Bootstrap
from strata.trace.attribution import average_attribution
from strata.trace.averages import average_by_category, average_heads
from strata.trace.names import NEURON_GROUP
from strata.trace.severed import severed_share

with job(snakemake):
    given, config = snakemake.input, snakemake.params.averaging
    state = io.open_dataset(given.state)
    made_by = {"model": io.made_by(state)["model"], "config": config}
    mlp, attn, heads, neurons, attribution = map(io.open_dataset, given.parts)
    bootstrap = Bootstrap(config["n_resamples"], config["interval"], config["seed"])
    averages = [
        *(average_by_category(window, **config) for window in (mlp, attn)),
        average_heads(heads, **config),
        average_heads(neurons, NEURON_GROUP, **config),
        average_attribution(attribution.load(), bootstrap),
    ]
    for average, out in zip(averages, snakemake.output.averages, strict=True):
        io.write_dataset(average, out, **made_by)
    for path, out in zip(given.severed, snakemake.output.shares, strict=True):
        severed = io.open_dataset(path)
        # The state's trace has more levels, samples and prompts.
        alike = state.sel(noise=severed["noise"].values, prompt=severed["prompt"].values)
        alike = alike.isel(sample=slice(severed.sizes["sample"]))
        io.write_dataset(severed_share(alike, severed, **config), out, **made_by)
