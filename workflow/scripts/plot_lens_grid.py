"""Draw the lens over one prompt or passage, in every colouring asked for.

Input: lens/{decoder}.nc. Output: figures/lens_grid_{prompt}_{decoder}_{colouring}.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures.lens import draw_grid

with job(snakemake) as progress:
    lens = io.open_dataset(snakemake.input.lens)
    one = lens.isel(token=(lens["prompt"] == snakemake.wildcards.prompt).values).load()
    how = dict(snakemake.params.grid)
    for number, colouring in enumerate(progress(how.pop("colourings"), "figures")):
        figure = draw_grid(one, colouring=colouring, **how)
        io.save_figure(figure, snakemake.output.png[number], snakemake.output.svg[number])
