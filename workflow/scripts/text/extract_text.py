"""Run sampled text and keep its residual stream, with all that is known of its tokens.

Input: text.nc, the model. Output: activations.h5 beside it.
"""

import torch

from pipeline.job import job
from strata import io
from strata.model.architecture import find_parts
from strata.model.capture import LAYOUT, by_token, capture, sizes
from strata.model.loading import load_model
from strata.text.documents import documents_of

with job(snakemake) as progress:
    settings, dtype = snakemake.params.model, snakemake.params.dtype
    parts = find_parts(
        load_model(settings["source"], settings["revision"], settings["dtype"], settings["device"])
    )
    text = io.open_dataset(snakemake.input.text)
    shape = sizes(parts, text.sizes["token"])
    layout = {name: LAYOUT[name] for name in ("resid", "attn_out")}
    made_by = {"model": settings, "config": {"dtype": dtype}}
    with io.ActivationFile(snakemake.output[0], shape, layout, dtype, **made_by) as file:
        start = 0
        for document in progress(documents_of(text), "documents"):
            taken = by_token(capture(parts, torch.tensor([document], device=parts.model.device)))
            file.write(start, {name: taken[name] for name in layout})
            start += len(document)
        labels = {name: values.values for name, values in text.variables.items() if values.dims == ("token",)}
        file.label(labels)
