"""Draw what the model loses where its position embedding is disturbed.

Input: embedding/experiments.nc. Output: figures/embedding_{smoothing,silencing}.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures import embedding_experiments as figures

with job(snakemake):
    experiments = io.open_dataset(snakemake.input[0])
    drawn = [figures.draw_smoothing(experiments), figures.draw_silencing(experiments)]
    for figure, png, svg in zip(drawn, snakemake.output.png, snakemake.output.svg, strict=True):
        io.save_figure(figure, png, svg)
