"""Decode every depth of every token, or what sub-blocks add, through the model's last blocks.

Input: activations.h5, weights.h5, prompts.tsv, the model.
Output: lens/extended.nc, or lens/extended_updates.nc. Of a shard, its share of the former, in lens/shards.
"""

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.lens.extended import carry_through
from strata.lens.labelled import read_labelled
from strata.lens.labels import of_prompts
from strata.lens.stream import stream_depths
from strata.model.architecture import find_parts
from strata.model.readout import decoder_from
from strata.pieces import write_pieces
from strata.share import Share

with job(snakemake) as progress:
    settings, shard = snakemake.params.model, snakemake.wildcards.get("shard")
    config = {key: snakemake.params[key] for key in ("top_k", "norm")}
    model, _ = open_model(settings)
    weights = io.open_dataset(snakemake.input.weights)
    activations = io.open_dataset(snakemake.input.activations)
    if updates := snakemake.wildcards.get("part") == "_updates":
        activations = of_prompts(activations, snakemake.params.shown)
    parts = find_parts(model)
    decoder = decoder_from(weights, config["norm"]).to(parts.device)
    depths = stream_depths(parts.n_layers, half_depths=False)
    carry = carry_through(parts, snakemake.params.extended["last"], depths=depths)
    prompts, vocabulary = io.read_prompts(snakemake.input.prompts), weights["token_str"].values
    how = {"updates": updates, "share": Share.named(shard), "progress": progress}
    what = ("extended", activations, prompts, decoder, carry, vocabulary)
    pieces = read_labelled(*what, **config, **how)
    made_by = {"model": settings, "config": {**config, **snakemake.params.extended}}
    write_pieces(pieces, {"extended": snakemake.output[0]}, shard is not None, **made_by)
