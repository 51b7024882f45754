"""Draw the loss of the organism trained here beside that of the one shipped.

Input: results/training/loss.tsv, data/models/organism/loss.tsv. Output: results/training/loss.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures.training import draw_loss

with job(snakemake):
    shipped, retrained = (io.read_table(snakemake.input[key]) for key in ("shipped", "retrained"))
    io.save_figure(draw_loss(shipped, retrained), snakemake.output.png, snakemake.output.svg)
