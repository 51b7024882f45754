"""Draw the averages by category: heat maps, lines, windows, measures, severed runs, subject tokens.

Input: trace/by_category*.nc, by_gap.nc, severed_*.nc, subject_tokens.nc.
Output: figures/restoration_*.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures import trace as figures

with job(snakemake):
    given, noise = snakemake.input, snakemake.params.noise
    state, mlp, attn, logit, kl, p_set, gaps, no_mlp, no_attn, tokens = (
        io.open_dataset(path) for path in (*given.averages, given.gaps, *given.severed, given.tokens)
    )
    drawn = {
        "heatmap": figures.draw_heatmap(state),
        "lines": figures.draw_lines(state, gaps),
        "windows": figures.draw_beside({"state": state, "MLP window": mlp, "attention window": attn}, noise),
        "measures": figures.draw_beside(
            {"probability": state, "logit difference": logit, "KL from clean": kl, "named set": p_set}, noise
        ),
        "severed": figures.draw_severed({"without MLPs": no_mlp, "without attention": no_attn}),
        "subject_tokens": figures.draw_subject_tokens(tokens),
    }
    for number, name in enumerate(snakemake.params.figures):
        io.save_figure(drawn[name], snakemake.output.png[number], snakemake.output.svg[number])
