"""Draw one figure of token frequency in the embedding.

Input: embedding/frequency.nc. Output: figures/embedding_{figure}.{png,svg}.
"""

from strata import io
from strata.figures.embedding_frequency import FIGURES
from strata.job import job

with job(snakemake):
    figure = FIGURES[snakemake.wildcards.figure](io.open_dataset(snakemake.input.frequency))
    io.save_figure(figure, snakemake.output.png, snakemake.output.svg)
