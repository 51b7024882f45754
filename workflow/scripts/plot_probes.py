"""Draw how well probes find the input and the next token, and what they are made of.

Input: lens/probes.nc. Output: figures/lens_probes_{accuracy,embedding}.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures.probes import draw_probe_accuracy, draw_probe_embedding

with job(snakemake):
    probes, out = io.open_dataset(snakemake.input.probes), snakemake.output
    io.save_figure(draw_probe_accuracy(probes), out.accuracy, out.accuracy_svg)
    io.save_figure(draw_probe_embedding(probes), out.embedding, out.embedding_svg)
