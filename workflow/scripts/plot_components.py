"""Draw one figure of the leading components of the token embedding.

Input: embedding/components.nc. Output: figures/embedding_{figure}.{png,svg}.
"""

from strata import io
from strata.figures.embedding_components import FIGURES
from strata.job import job

with job(snakemake):
    figure = FIGURES[snakemake.wildcards.figure](io.open_dataset(snakemake.input.components))
    io.save_figure(figure, snakemake.output.png, snakemake.output.svg)
