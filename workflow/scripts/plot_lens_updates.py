"""Draw what attention and MLPs add to one prompt or passage, decoded by itself.

Input: lens/{decoder}_updates.nc. Output: figures/lens_updates_{prompt}_{decoder}.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures.lens import draw_updates

with job(snakemake):
    updates = io.open_dataset(snakemake.input.updates)
    one = updates.isel(token=(updates["prompt"] == snakemake.wildcards.prompt).values)
    figure = draw_updates(one, snakemake.params.window)
    io.save_figure(figure, snakemake.output.png, snakemake.output.svg)
