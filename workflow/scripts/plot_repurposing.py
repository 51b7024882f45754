"""Draw how much of the hidden states lies along the embeddings of unlikely tokens.

Input: lens/repurposing.nc. Output: figures/lens_repurposing.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures.probes import draw_repurposing

with job(snakemake):
    figure = draw_repurposing(io.open_dataset(snakemake.input.repurposing))
    io.save_figure(figure, snakemake.output.png, snakemake.output.svg)
