"""Fit linear probes for the input token and the next, try them on held-out text, hold them to the embedding.

Input: text/activations.h5, weights.h5. Output: lens/probes.nc.
"""

from pipeline.job import job
from strata import io
from strata.model.device import usable
from strata.model.readout import decoder_from
from strata.probes.task import normalised
from strata.probes.tokens import analyse
from strata.text.tokens import of_text

with job(snakemake) as progress:
    activations = of_text(io.open_dataset(snakemake.input.activations))
    weights = io.open_dataset(snakemake.input.weights)
    decoder = decoder_from(weights, "plain").to(usable(snakemake.params.device))
    gain = weights["final_norm_gain"].values
    result = analyse(
        normalised(activations["resid"], decoder),
        activations["depth"].values,
        activations,
        {"input": weights["token_embedding"].values, "next": weights["unembedding"].values * gain},
        **snakemake.params.probes,
        progress=progress,
    )
    made_by = {"model": io.made_by(activations)["model"], "config": snakemake.params.probes}
    io.write_dataset(result, snakemake.output[0], **made_by)
