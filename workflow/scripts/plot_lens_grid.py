"""Draw the lens over one prompt or passage.

Input: lens/logit.nc. Output: figures/lens_grid_{prompt}.{png,svg}.
"""

from strata import io
from strata.figures.lens import draw_grid
from strata.job import job

with job(snakemake):
    lens = io.open_dataset(snakemake.input.lens)
    one = lens.isel(token=(lens["prompt"] == snakemake.wildcards.prompt).values)
    io.save_figure(draw_grid(one, snakemake.params.window), snakemake.output.png, snakemake.output.svg)
