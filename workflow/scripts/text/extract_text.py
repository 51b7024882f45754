"""Run sampled text and keep what its readers need of its activations, with all that is known of its tokens.

Input: text.nc, the model. Output: activations.h5 in the same folder.
"""

from itertools import accumulate

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.model.architecture import find_parts
from strata.model.capture import LAYOUT, capture_documents, sizes
from strata.text.documents import documents_of

with job(snakemake) as progress:
    settings, dtype = snakemake.params.model, snakemake.params.dtype
    parts = find_parts(open_model(settings)[0])
    text = io.open_dataset(snakemake.input.text)
    layout = {"resid": LAYOUT["resid"]}
    made_by = {"model": settings, "config": {"dtype": dtype, "keep": list(layout)}}
    shape = sizes(parts, text.sizes["token"])
    documents = documents_of(text)
    starts = list(accumulate(map(len, documents), initial=0))
    with io.ActivationFile(snakemake.output[0], shape, layout, dtype, **made_by) as file:
        for document, taken in capture_documents(parts, documents, layout, file.form, progress=progress):
            file.write(starts[document], taken)
        labels = {name: values.values for name, values in text.variables.items() if values.dims == ("token",)}
        file.label(labels)
