"""Draw the channels of the embedding matrices.

Input: weights.h5, embedding/channels.nc.
Output: figures/embedding_{matrix,histograms,moments,rivalry,pairs}.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures import embedding_channels as figures

with job(snakemake):
    weights = io.open_dataset(snakemake.input.weights)
    channels = io.open_dataset(snakemake.input.channels)
    tokens, positions = weights["token_embedding"], weights.get("position_embedding")
    drawn = [
        figures.draw_matrix(tokens, channels),
        figures.draw_histograms(tokens),
        figures.draw_moments(channels),
        figures.draw_rivalry(channels),
        figures.draw_pairs(tokens, positions, channels),
    ]
    for figure, png, svg in zip(drawn, snakemake.output.png, snakemake.output.svg, strict=True):
        io.save_figure(figure, png, svg)
