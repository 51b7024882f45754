"""Draw where the final token attends.

Input: attention.nc, attention_text.nc. Output: figures/attention_{final,heads,sink,subject}.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures import attention as figures

with job(snakemake):
    attention, in_text = (
        io.open_dataset(path) for path in (snakemake.input.attention, snakemake.input.in_text)
    )
    drawn = [
        figures.draw_final_token(attention),
        figures.draw_heads(attention),
        figures.draw_sink(attention, in_text),
        figures.draw_subject_peak(attention, snakemake.params.noise),
    ]
    for figure, png, svg in zip(drawn, snakemake.output.png, snakemake.output.svg, strict=True):
        io.save_figure(figure, png, svg)
