"""Hold the readouts of held-out text to the unigram and the bigram distribution of other documents.

Input: text/activations.h5, weights.h5, the maps of the decoders that have any. Output: lens/contextless.nc.
"""

from pipeline.job import job
from strata import io
from strata.lens import contextless
from strata.lens.decoders import DepthMaps
from strata.model.device import usable
from strata.model.readout import decoder_from
from strata.text.tokens import of_text

with job(snakemake) as progress:
    settings = dict(snakemake.params.contextless)
    norm = settings.pop("norm")
    activations = of_text(io.open_dataset(snakemake.input.activations))
    paths = {name: [*snakemake.input[name]] for name in snakemake.params.decoders}
    result = contextless.measure(
        activations["resid"],
        {
            name: DepthMaps.from_dataset(io.open_dataset(*path)) if path else None
            for name, path in paths.items()
        },
        decoder_from(io.open_dataset(snakemake.input.weights), norm).to(usable(snakemake.params.device)),
        **settings,
        progress=progress,
    )
    made_by = {"model": io.made_by(activations)["model"], "config": {**settings, "norm": norm}}
    io.write_dataset(result.assign_attrs(norm=norm), snakemake.output[0], **made_by)
