"""Average the model's Jacobians over text.

Input: text.nc, the model. Output: lens/jacobian_fitted.nc.
"""

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.lens import jacobian
from strata.model.architecture import find_parts
from strata.text.documents import documents_of

with job(snakemake) as progress:
    settings, made = snakemake.params.model, snakemake.params.jacobian
    model, _ = open_model(settings)
    documents = jacobian.usable(documents_of(io.open_dataset(snakemake.input.text), "train"), made["skip"])
    maps = jacobian.fit(
        find_parts(model), documents[: made["documents"]], made["skip"], made["max_tokens"], progress
    )
    io.write_dataset(maps.to_dataset(), snakemake.output[0], model=settings, config=made)
