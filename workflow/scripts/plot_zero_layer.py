"""Draw one figure of the model without its layers, or of the clump.

Input: embedding/zero_layer.nc, embedding/clump.nc. Output: figures/embedding_{figure}.{png,svg}.
"""

from strata import io
from strata.figures.embedding_zero_layer import FIGURES
from strata.job import job

with job(snakemake):
    figure = snakemake.wildcards.figure
    data = snakemake.input.clump if figure == "clump" else snakemake.input.called
    drawn = FIGURES[figure](io.open_dataset(data).load())
    io.save_figure(drawn, snakemake.output.png, snakemake.output.svg)
