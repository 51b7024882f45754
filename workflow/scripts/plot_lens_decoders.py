"""Draw the decoders side by side.

Input: lens/comparison.tsv. Output: figures/lens_decoders.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures.lens_decoders import draw_decoders

with job(snakemake):
    figure = draw_decoders(io.read_table(snakemake.input.table))
    io.save_figure(figure, snakemake.output.png, snakemake.output.svg)
