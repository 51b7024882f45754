"""Draw how every model's readouts settle, by relative depth.

Input: results/{model}/lens/logit.nc of every model. Output: results/models/lens_models.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures.lens_decoders import draw_models

with job(snakemake):
    models = snakemake.params.models
    lenses = {
        model: io.open_dataset(path) for model, path in zip(models, snakemake.input.lenses, strict=True)
    }
    io.save_figure(draw_models(lenses), snakemake.output.png, snakemake.output.svg)
