"""Draw how far from the final distribution each depth is.

Input: lens/{decoder}.nc. Output: figures/lens_divergence_{decoder}.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures.lens import draw_divergence

with job(snakemake):
    figure = draw_divergence(io.open_dataset(snakemake.input.lens))
    io.save_figure(figure, snakemake.output.png, snakemake.output.svg)
