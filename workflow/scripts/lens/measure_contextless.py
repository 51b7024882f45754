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
    settings, maps = dict(snakemake.params.contextless), dict(snakemake.input.items())
    norm, weights = settings.pop("norm"), io.open_dataset(maps.pop("weights"))
    activations = of_text(io.open_dataset(maps.pop("activations")))
    result = contextless.measure(
        activations["resid"],
        # The logit lens has no maps.
        {name: DepthMaps.from_dataset(io.open_dataset(*m)) if m else None for name, m in maps.items()},
        decoder_from(weights, norm).to(usable(snakemake.params.device)),
        **settings,
        progress=progress,
    )
    made_by = {"model": io.made_by(activations)["model"], "config": snakemake.params.contextless}
    io.write_dataset(result.assign_attrs(norm=norm), snakemake.output[0], **made_by)
