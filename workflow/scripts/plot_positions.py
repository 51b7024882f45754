"""Draw the position embedding as functions of position.

Input: weights.h5, embedding/channels.nc, embedding/positions.nc.
Output: figures/embedding_{positions,position_channels,lissajous,sinusoids}.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures import embedding_positions as figures

with job(snakemake):
    weights, channels, positions = (
        io.open_dataset(snakemake.input[name]) for name in ("weights", "channels", "positions")
    )
    matrix = weights.get("position_embedding")
    drawn = [
        figures.draw_matrix(matrix, channels),
        figures.draw_channels(matrix, channels, positions),
        figures.draw_lissajous(matrix, channels),
        figures.draw_sinusoids(positions, channels),
    ]
    for figure, png, svg in zip(drawn, snakemake.output.png, snakemake.output.svg, strict=True):
        io.save_figure(figure, png, svg)
