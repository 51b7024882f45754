"""Change of loss where the position embedding is smoothed, or silenced in some channels.

Input: text/text.nc, embedding/channels.nc, the model. Output: embedding/experiments.nc.
"""

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.embedding.experiments import disturb
from strata.model.architecture import find_parts
from strata.text.documents import documents_of

with job(snakemake) as progress:
    settings, made = snakemake.params.model, snakemake.params.experiments
    model, _ = open_model(settings)
    documents = documents_of(io.open_dataset(snakemake.input.text), "test")[: made["documents"]]
    channels = io.open_dataset(snakemake.input.channels)
    upper = channels["upper"].values.astype(bool) if "upper" in channels else None
    options = {key: made[key] for key in ("widths", "draws", "min_documents")}
    options |= snakemake.params.statistics
    result = disturb(find_parts(model), documents, upper, **options, progress=progress)
    io.write_dataset(result, snakemake.output[0], model=settings, config=made | snakemake.params.statistics)
