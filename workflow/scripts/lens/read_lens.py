"""Decode every depth of every token (by the logit lens every half-depth too), or what sub-blocks add.

Input: activations.h5, weights.h5, prompts.tsv, a decoder's maps if it has any.
Output: lens/{decoder}.nc, or lens/{decoder}_updates.nc.
"""

from pipeline.job import job
from strata import io, pieces
from strata.lens.decoders import DepthMaps
from strata.lens.labels import as_dataset, demanded_words, next_tokens, of_prompts
from strata.lens.readout import carry_by, read_pieces
from strata.lens.stream import stream_depths
from strata.model.device import usable
from strata.model.readout import decoder_from

with job(snakemake) as progress:
    weights = io.open_dataset(snakemake.input.weights)
    activations = io.open_dataset(snakemake.input.activations)
    if updates := snakemake.wildcards.part == "_updates":
        activations = of_prompts(activations, snakemake.params.shown)
    prompts = io.read_prompts(snakemake.input.prompts)
    maps = [DepthMaps.from_dataset(io.open_dataset(path)) for path in snakemake.input.maps]
    top_k, norm = snakemake.params.top_k, snakemake.params.norm
    decoder = decoder_from(weights, norm).to(usable(snakemake.params.device))
    logit, n_layers = snakemake.wildcards.decoder == "logit", activations.sizes["layer"]
    carry = carry_by(*maps, n_layers=n_layers, depths=stream_depths(n_layers, half_depths=logit))
    targets, words = next_tokens(activations, prompts), demanded_words(activations, prompts)
    how = {"rank_guesses": logit, "half_depths": logit, "word_ids": words, "progress": progress}
    vocabulary, attrs = weights["token_str"].values, {"decoder": snakemake.wildcards.decoder, "norm": norm}
    made_by = {"model": io.made_by(activations)["model"], "config": {"top_k": top_k, "norm": norm}}
    with pieces.PieceFile(snakemake.output[0], "token", activations.sizes["token"], **made_by) as file:
        for some, fields in read_pieces(activations, decoder, carry, targets, top_k, updates, **how):
            piece = activations.isel(token=some)
            labelled = as_dataset(fields, piece, targets[some], vocabulary, prompts, updates)
            file.write(labelled.assign_attrs(attrs))
