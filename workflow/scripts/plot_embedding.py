"""Draw one figure of the embedding matrices.

Input: embedding.nc. Output: figures/embedding_{figure}.{png,svg}.
"""

from strata import io
from strata.figures.embedding import FIGURES
from strata.job import job

with job(snakemake):
    figure = FIGURES[snakemake.wildcards.figure](io.open_dataset(snakemake.input.embedding))
    io.save_figure(figure, snakemake.output.png, snakemake.output.svg)
