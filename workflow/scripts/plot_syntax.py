"""Draw where in depth syntax is read, gained and lost, and what triggers of MLP keys have in common.

Input: syntax/probes.nc, syntax/keys.nc. Output: figures/syntax_{accuracy,centres,keys}.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures import syntax as figures

with job(snakemake):
    probes = io.open_dataset(snakemake.input.probes)
    drawn = [
        figures.draw_syntax_accuracy(probes),
        figures.draw_syntax_centres(probes),
        figures.draw_keys(io.open_dataset(snakemake.input.described)),
    ]
    for figure, png, svg in zip(drawn, snakemake.output.png, snakemake.output.svg, strict=True):
        io.save_figure(figure, png, svg)
