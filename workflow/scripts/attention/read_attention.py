"""Where the final token attends, by category, layer and head, and whether that goes with the transition.

Input: activations.h5, prompts.tsv, trace/by_category.nc. Output: attention.nc.
"""

from pipeline.job import job
from strata import io
from strata.attention.final_token import analyse

with job(snakemake):
    activations = io.open_dataset(snakemake.input.activations)
    prompts = io.read_prompts(snakemake.input.prompts)
    transition = io.open_dataset(snakemake.input.averages)["transition_depth"].load()
    config = dict(snakemake.params.statistics)
    result = analyse(activations, prompts, transition, **config)
    io.write_dataset(result, snakemake.output[0], model=io.made_by(activations)["model"], config=config)
