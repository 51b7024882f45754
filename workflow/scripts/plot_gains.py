"""Draw the gains of the norms against the position embedding, and their outlier channels.

Input: embedding/channels.nc, embedding/gains.nc, embedding/gains.tsv.
Output: figures/embedding_gains_{norm1,norm2,summary}.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.embedding.gains import NORMS
from strata.figures import embedding_gains as figures

with job(snakemake):
    channels, gains = (io.open_dataset(snakemake.input[name]) for name in ("channels", "gains"))
    table = io.read_table(snakemake.input.table)
    drawn = [
        *(figures.draw_layers(gains, channels, table, norm) for norm in NORMS),
        figures.draw_summary(gains, channels, table),
    ]
    for figure, png, svg in zip(drawn, snakemake.output.png, snakemake.output.svg, strict=True):
        io.save_figure(figure, png, svg)
