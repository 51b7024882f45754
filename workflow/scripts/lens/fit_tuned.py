"""Fit the tuned lens and report it on held-out text.

Input: text_activations.h5, weights.h5. Output: lens/tuned_fitted.nc, lens/tuned_fit.tsv.
"""

from pipeline.job import job
from strata import io
from strata.lens import tuned
from strata.lens.text_stream import TextStream
from strata.model.device import usable
from strata.model.readout import decoder_from

with job(snakemake) as progress:
    made = snakemake.params.tuned
    activations = io.open_dataset(snakemake.input.activations)
    device = usable(snakemake.params.device)
    decoder = decoder_from(io.open_dataset(snakemake.input.weights), made["norm"]).to(device)
    text = TextStream(activations, made["tokens_per_step"], device)
    maps = tuned.fit(
        lambda: text.batches("train"),
        lambda: text.batches("validation", made["held_out"]),
        decoder,
        text.depths,
        made["steps"],
        made["learning_rate"],
        progress,
    )
    report = tuned.held_out(text.batches_with_targets("test", made["held_out"]), maps, decoder, text.depths)
    model = io.made_by(activations)["model"]
    io.write_dataset(maps.to_dataset(), snakemake.output.maps, model=model, config=made)
    io.write_table(report.to_dataframe().reset_index(), snakemake.output.report)
