"""Hold the readouts of held-out text to the unigram and the bigram distribution of other documents.

Input: text/activations.h5, weights.h5, the maps of the decoders that have any, the model.
Output: lens/contextless.nc.
"""

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.lens import contextless
from strata.lens.decoders import DepthMaps
from strata.lens.extended import carry_through
from strata.lens.readout import carry_by
from strata.model.architecture import find_parts
from strata.model.device import usable
from strata.model.readout import decoder_from

with job(snakemake) as progress:
    model, settings = snakemake.params.model, dict(snakemake.params.contextless)
    last, norm = settings.pop("last"), settings.pop("norm")
    activations, weights = (io.open_dataset(snakemake.input[name]) for name in ("activations", "weights"))
    maps = {d: files for d, files in snakemake.input.items() if d not in ("activations", "weights", "model")}
    depths = activations["depth"].values

    def carry_of(name):
        if name == "extended":
            return carry_through(find_parts(open_model(model)[0]), last, depths=depths)
        # The logit lens has none.
        own = [DepthMaps.from_dataset(io.open_dataset(path)) for path in maps[name]]
        return carry_by(*own, n_layers=len(depths) - 1, depths=depths)

    result = contextless.measure(
        activations["resid"],
        {name: carry_of(name) for name in maps},
        decoder_from(weights, norm).to(usable(model["device"])),
        **settings,
        progress=progress,
    )
    made_by = {"model": model, "config": snakemake.params.contextless}
    io.write_dataset(result.assign_attrs(norm=norm), snakemake.output[0], **made_by)
