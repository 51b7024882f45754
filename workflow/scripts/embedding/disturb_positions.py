"""Change of loss where the position embedding is smoothed or silenced, and where outlying channels are.

Input: text/activations.h5, embedding/channels.nc, embedding/frequency.nc, the model.
Output: embedding/experiments.nc, embedding/outlier_channels.nc.
"""

import torch

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.embedding.experiments import disturb
from strata.embedding.outlier_channels import follow
from strata.model.architecture import find_parts
from strata.text.documents import documents_of, next_in_document
from strata.text.tokens import of_text

with job(snakemake) as progress:
    settings, made, statistics = (snakemake.params[name] for name in ("model", "experiments", "statistics"))
    model, _ = open_model(settings)
    parts = find_parts(model)
    activations = io.open_dataset(snakemake.input.activations)
    documents = documents_of(activations, "test")[: made["documents"]]
    channels = io.open_dataset(snakemake.input.channels)
    upper = channels["upper"].values.astype(bool) if "upper" in channels else None
    options = {key: made[key] for key in ("widths", "draws", "min_documents")}
    result = disturb(parts, documents, upper, **options, **statistics, progress=progress)

    text = of_text(activations)
    text = text.isel(token=text["split"].values == "test")
    followed = follow(
        parts,
        torch.from_numpy(text["resid"].isel(depth=-1).values).float(),
        next_in_document(text),
        text["document"].values,
        io.open_dataset(snakemake.input.frequency),
        draws=made["draws"],
        **statistics,
        progress=progress,
    )
    for dataset, path in ((result, snakemake.output.experiments), (followed, snakemake.output.outliers)):
        io.write_dataset(dataset, path, model=settings, config=made | statistics)
