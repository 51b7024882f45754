"""Measure how much of the hidden states lies along the embeddings of tokens that are ruled out.

Input: activations.h5, weights.h5, prompts.tsv. Output: lens/repurposing.nc.
"""

from pipeline.job import job
from strata import io
from strata.lens import repurposing
from strata.model.device import usable
from strata.model.readout import decoder_from
from strata.text.tokens import of_text

with job(snakemake) as progress:
    activations = of_text(io.open_dataset(snakemake.input.activations))
    weights = io.open_dataset(snakemake.input.weights)
    facts = io.read_prompts(snakemake.input.prompts).set_index("id")["fact"]
    result = repurposing.analyse(
        activations["resid"],
        facts,
        decoder_from(weights).to(usable(snakemake.params.device)),
        weights["token_embedding"].values,
        **snakemake.params.repurposing,
        progress=progress,
    )
    made_by = {"model": io.made_by(activations)["model"], "config": snakemake.params.repurposing}
    io.write_dataset(result, snakemake.output[0], **made_by)
