"""Write one interactive page of the lens over all prompts and passages asked for, with their traces.

Input: lens/{decoder}.nc of every decoder, trace/state.nc. Output: lens/explorer.html.
"""

from pipeline.job import job
from strata import io
from strata.figures.explorer import accepted_texts, build_explorer

with job(snakemake):
    lenses = {name: io.open_dataset(snakemake.input[name]) for name in snakemake.params.decoders}
    trace = io.open_dataset(snakemake.input.trace)
    wanted = snakemake.params.prompts
    if wanted == "accepted":
        wanted = accepted_texts(next(iter(lenses.values())), trace)
    prompts = None if wanted == "all" else wanted
    page = build_explorer(lenses, trace, prompts, model=snakemake.wildcards.model)
    io.write_text(page, snakemake.output[0])
