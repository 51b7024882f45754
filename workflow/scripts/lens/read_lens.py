"""Decode every depth of every token (by the logit lens every half-depth too), or what sub-blocks add.

Input: activations.h5, weights.h5, prompts.tsv, a decoder's maps if it has any.
Output: lens/{decoder}.nc, or lens/{decoder}_updates.nc. Of a shard, its share of the former, in lens/shards.
"""

from pipeline.job import job
from strata import io
from strata.lens.decoders import DepthMaps
from strata.lens.labelled import read_labelled
from strata.lens.labels import of_prompts
from strata.lens.readout import carry_by
from strata.lens.stream import stream_depths
from strata.model.device import usable
from strata.model.readout import decoder_from
from strata.pieces import write_pieces
from strata.share import Share

with job(snakemake) as progress:
    name, shard = snakemake.wildcards.decoder, snakemake.wildcards.get("shard")
    config = {key: snakemake.params[key] for key in ("top_k", "norm")}
    weights = io.open_dataset(snakemake.input.weights)
    activations = io.open_dataset(snakemake.input.activations)
    model, n_layers = io.made_by(activations)["model"], activations.sizes["layer"]
    if updates := snakemake.wildcards.get("part") == "_updates":
        activations = of_prompts(activations, snakemake.params.shown)
    maps = [DepthMaps.from_dataset(io.open_dataset(path)) for path in snakemake.input.maps]
    decoder = decoder_from(weights, config["norm"]).to(usable(snakemake.params.device))
    depths = stream_depths(n_layers, half_depths=name == "logit")
    carry = carry_by(*maps, n_layers=n_layers, depths=depths)
    prompts, vocabulary = io.read_prompts(snakemake.input.prompts), weights["token_str"].values
    how = {"stream": name == "logit", "share": Share.named(shard), "progress": progress}
    what = (name, activations, prompts, decoder, carry, vocabulary)
    pieces = read_labelled(*what, **config, updates=updates, **how)
    write_pieces(pieces, {name: snakemake.output[0]}, shard is not None, model=model, config=config)
