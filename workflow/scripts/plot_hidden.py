"""Draw how the final token's state moves through depth: whole, cropped, and about the transition.

Input: hidden.nc. Output: figures/hidden_{motion,motion_cropped,aligned}.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures import hidden as figures

with job(snakemake):
    hidden = io.open_dataset(snakemake.input.hidden)
    drawn = [
        figures.draw_motion(hidden),
        figures.draw_motion(hidden, snakemake.params.cropped),
        figures.draw_aligned(hidden, snakemake.params.noise),
    ]
    for figure, png, svg in zip(drawn, snakemake.output.png, snakemake.output.svg, strict=True):
        io.save_figure(figure, png, svg)
