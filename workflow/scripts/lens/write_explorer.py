"""Write one interactive page of the lens over all prompts and passages asked for, with their traces.

Input: lens/{decoder}.nc of every decoder, trace/state.nc. Output: lens/explorer.html.
"""

from pipeline.job import job
from strata import io
from strata.figures.explorer import build_explorer

with job(snakemake):
    lenses = {name: io.open_dataset(snakemake.input[name]) for name in snakemake.params.decoders}
    trace = io.open_dataset(snakemake.input.trace)
    wanted = snakemake.params.prompts
    there = set(next(iter(lenses.values()))["prompt"].values)
    prompts = None if wanted == "all" else [prompt for prompt in wanted if prompt in there]
    page = build_explorer(lenses, trace, prompts, model=snakemake.wildcards.model)
    io.write_text(page, snakemake.output[0])
