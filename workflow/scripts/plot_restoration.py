"""Draw the average restoration by category, as heat map and as lines.

Input: trace/by_category.nc. Output: figures/restoration_{heatmap,lines}.{png,svg}.
"""

from strata import io
from strata.figures.trace import draw_heatmap, draw_lines
from strata.job import job

with job(snakemake):
    averages = io.open_dataset(snakemake.input.averages)
    io.save_figure(draw_heatmap(averages), snakemake.output.heatmap, snakemake.output.heatmap_svg)
    io.save_figure(draw_lines(averages), snakemake.output.lines, snakemake.output.lines_svg)
