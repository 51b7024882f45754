"""Fit linear probes for parts of speech and relations, of the current word and the next, by depth.

Input: syntax/activations.h5, weights.h5. Output: syntax/probes.nc, accuracy.tsv, centres.tsv, order.tsv.
"""

from pipeline.job import job
from strata import io
from strata.model.device import usable
from strata.model.readout import decoder_from
from strata.probes import syntax
from strata.probes.task import normalised

with job(snakemake) as progress:
    activations = io.open_dataset(snakemake.input.activations)
    weights = io.open_dataset(snakemake.input.weights)
    decoder = decoder_from(weights, "plain").to(usable(snakemake.params.device))
    options = snakemake.params.probes
    result = syntax.analyse(
        normalised(activations["resid"], decoder),
        activations["depth"].values,
        activations,
        **options,
        progress=progress,
    )
    model = io.made_by(activations)["model"]
    io.write_dataset(result, snakemake.output.probes, model=model, config=options)
    accuracy, centres = syntax.tables(result)
    io.write_table(accuracy, snakemake.output.accuracy)
    io.write_table(centres, snakemake.output.centres)
    io.write_table(syntax.compare(result), snakemake.output.order)
