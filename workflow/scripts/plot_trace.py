"""Draw the trace of one prompt: states at every noise level; beside windows of MLPs and attention at one.

Input: trace/state.nc, mlp.nc, attn.nc.
Output: figures/trace_{prompt}.{png,svg}, trace_windows_{prompt}.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures.trace import draw_trace, draw_trace_windows, draw_untraced

with job(snakemake):
    prompt, out = snakemake.wildcards.prompt, snakemake.output
    traces = [io.open_dataset(path) for path in snakemake.input.traces]
    if prompt in traces[0]["prompt"].values:
        one = dict(zip(("state", "MLP window", "attention window"), traces, strict=True))
        one = {name: trace.sel(prompt=prompt) for name, trace in one.items()}
        figures = draw_trace(one["state"]), draw_trace_windows(one, snakemake.params.noise)
    else:
        figures = draw_untraced(prompt), draw_untraced(prompt)
    io.save_figure(figures[0], out.png, out.svg)
    io.save_figure(figures[1], out.windows, out.windows_svg)
