"""Draw the model without its layers, and the clump.

Input: embedding/zero_layer.nc, embedding/clump.nc.
Output: figures/embedding_zero_layer_*.{png,svg}, embedding_clump.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures import embedding_zero_layer as figures

with job(snakemake):
    called = io.open_dataset(snakemake.input.called).load()
    drawn = [
        figures.draw_diagonal(called),
        figures.draw_exceptions(called),
        figures.draw_attractors(called),
        figures.draw_neighbours(called),
        figures.draw_clump(io.open_dataset(snakemake.input.clump).load()),
    ]
    for figure, png, svg in zip(drawn, snakemake.output.png, snakemake.output.svg, strict=True):
        io.save_figure(figure, png, svg)
