"""Where the final token attends, by category, layer and head; with the transition, and otherwise for facts.

Input: activations.h5, prompts.tsv, trace/by_category.nc. Output: attention.nc, attention_heads.tsv.
"""

from pipeline.job import job
from strata import io
from strata.attention.contrast import contrast_heads
from strata.attention.final_token import analyse
from strata.stats.bootstrap import Bootstrap

with job(snakemake):
    activations = io.open_dataset(snakemake.input.activations)
    prompts = io.read_prompts(snakemake.input.prompts)
    transition = io.open_dataset(snakemake.input.averages)["transition_depth"].load()
    config = dict(snakemake.params.statistics)
    result = analyse(activations, prompts, transition, **config)
    model = io.made_by(activations)["model"]
    io.write_dataset(result, snakemake.output.attention, model=model, config=config)
    heads = contrast_heads(result, **snakemake.params.contrast, bootstrap=Bootstrap(**config))
    io.write_table(heads, snakemake.output.heads)
