"""Attention over many texts: on the first token, how it varies with content, which channels are outsized.

Input: text/text.nc, a text for long samples, weights.h5, the model. Output: attention_text.nc.
"""

import xarray as xr

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.attention.long_text import first_by_position
from strata.attention.outsized import outsized_channels
from strata.attention.over_text import over_text, variability
from strata.model.architecture import find_parts
from strata.model.batching import within_context
from strata.organism.texts import open_texts
from strata.stats.bootstrap import Bootstrap
from strata.text.documents import documents_of
from strata.text.stretches import long_samples

with job(snakemake) as progress:
    settings, made, long = snakemake.params.model, snakemake.params.attention, snakemake.params.long
    bootstrap = Bootstrap(**made["statistics"])
    model, tokenizer = open_model(settings)
    parts = find_parts(model)
    documents = documents_of(io.open_dataset(snakemake.input.text))[: made["documents"]]
    in_text = over_text(parts, documents, made["skip"], bootstrap, progress)
    varying = variability(parts, documents, made["first"], progress=progress)
    samples = long_samples(
        open_texts(long),
        tokenizer.encode_alone,
        long["samples"],
        within_context(model, long["tokens"]),
        bootstrap.seed,
        tokenizer.beginning,
    )
    by_position = first_by_position(parts, samples, bootstrap, progress)
    weights = io.open_dataset(snakemake.input.weights)
    channels = outsized_channels(in_text, weights, **made["outsized"])
    results = [in_text, varying, by_position, channels]
    result = xr.merge(results, join="exact", combine_attrs="no_conflicts")
    io.write_dataset(result, snakemake.output[0], model=settings, config={**made, "long": long})
