"""How the final token's state moves through depth, and whether it moves at the transition.

Input: activations.h5, prompts.tsv, trace/by_category.nc. Output: hidden.nc.
"""

from pipeline.job import job
from strata import io
from strata.attention import hidden

with job(snakemake):
    activations = io.open_dataset(snakemake.input.activations)
    prompts = io.read_prompts(snakemake.input.prompts)
    transition = io.open_dataset(snakemake.input.averages)["transition_depth"].load()
    config = {key: value for key, value in snakemake.params.hidden.items() if key != "statistics"}
    config |= snakemake.params.hidden["statistics"]
    result = hidden.analyse(activations["resid"], prompts, transition, **config)
    io.write_dataset(result, snakemake.output[0], model=io.made_by(activations)["model"], config=config)
