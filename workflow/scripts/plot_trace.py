"""Draw the trace of one prompt.

Input: trace/state.nc. Output: figures/trace_{prompt}.{png,svg}.
"""

from strata import io
from strata.figures.trace import draw_trace, draw_untraced
from strata.job import job

with job(snakemake):
    trace, prompt = io.open_dataset(snakemake.input.trace), snakemake.wildcards.prompt
    traced = prompt in trace["prompt"].values
    figure = draw_trace(trace.sel(prompt=prompt)) if traced else draw_untraced(prompt)
    io.save_figure(figure, snakemake.output.png, snakemake.output.svg)
