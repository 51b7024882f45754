"""Mix states of held-out text with the embedding of the true next token, and measure the loss after it.

Input: text/text.nc, the model. Output: lens/mixing.nc.
"""

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.lens.mixing import measure
from strata.model.architecture import find_parts
from strata.text.documents import documents_of

with job(snakemake) as progress:
    settings, made = snakemake.params.model, snakemake.params.mixing
    model, _ = open_model(settings)
    documents = documents_of(io.open_dataset(snakemake.input.text), "test")
    result = measure(find_parts(model), documents, **made, progress=progress)
    io.write_dataset(result, snakemake.output[0], model=settings, config=made)
