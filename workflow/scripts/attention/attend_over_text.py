"""Attention over many texts: on the first token, how it varies with content, which channels are outsized.

Input: text/text.nc, weights.h5, the model. Output: attention_text.nc.
"""

import xarray as xr

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.attention.outsized import outsized_channels
from strata.attention.over_text import over_text, variability
from strata.model.architecture import find_parts
from strata.text.documents import documents_of

with job(snakemake) as progress:
    settings, made = snakemake.params.model, snakemake.params.attention
    model, _ = open_model(settings)
    parts = find_parts(model)
    documents = documents_of(io.open_dataset(snakemake.input.text))[: made["documents"]]
    in_text = over_text(parts, documents, made["skip"], progress)
    varying = variability(parts, documents, made["first"], progress=progress)
    weights = io.open_dataset(snakemake.input.weights)
    channels = outsized_channels(in_text, weights, **made["outsized"])
    result = xr.merge([in_text, varying, channels], join="exact", combine_attrs="no_conflicts")
    io.write_dataset(result, snakemake.output[0], model=settings, config=made)
