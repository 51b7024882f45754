"""Draw the leading components of the token embedding.

Input: embedding/components.nc. Output: figures/embedding_components_*.{png,svg}.
"""

from pathlib import Path

from pipeline.job import job
from strata import io
from strata.figures.embedding_components import FIGURES

with job(snakemake):
    dataset = io.open_dataset(snakemake.input[0])
    for png, svg in zip(snakemake.output.png, snakemake.output.svg, strict=True):
        draw = FIGURES[Path(png).stem.removeprefix("embedding_")]
        io.save_figure(draw(dataset), png, svg)
