"""Draw transition depths by category, the regression, and invented against true facts.

Input: trace/by_category.nc, regression.tsv, curves.tsv. Output: figures/order_*.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures import trace as figures

with job(snakemake):
    drawn = [
        figures.draw_transitions(io.open_dataset(snakemake.input.averages)),
        figures.draw_regression(io.read_table(snakemake.input.regression)),
        figures.draw_curve_difference(io.read_table(snakemake.input.curves)),
    ]
    for figure, png, svg in zip(drawn, snakemake.output.png, snakemake.output.svg, strict=True):
        io.save_figure(figure, png, svg)
