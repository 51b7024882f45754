"""Draw token frequency in the embedding.

Input: embedding/frequency.nc. Output: figures/embedding_frequency_*.{png,svg}.
"""

from strata import io
from strata.figures.embedding_frequency import FIGURES
from strata.job import job

with job(snakemake):
    dataset = io.open_dataset(snakemake.input[0])
    for draw, png, svg in zip(FIGURES.values(), snakemake.output.png, snakemake.output.svg, strict=True):
        io.save_figure(draw(dataset), png, svg)
