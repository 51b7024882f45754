"""Draw attention over many texts.

Input: attention_text.nc. Output: figures/attention_{position,position_heads,variability,outsized}.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures import attention as figures

with job(snakemake):
    in_text = io.open_dataset(snakemake.input[0])
    drawn = [
        figures.draw_first_by_position(in_text),
        figures.draw_first_by_position_heads(in_text),
        figures.draw_variability(in_text),
        figures.draw_outsized(in_text, in_text),
    ]
    for figure, png, svg in zip(drawn, snakemake.output.png, snakemake.output.svg, strict=True):
        io.save_figure(figure, png, svg)
