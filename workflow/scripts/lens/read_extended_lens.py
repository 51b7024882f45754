"""Decode every depth of every token, or what sub-blocks add, through the model's last blocks.

Input: activations.h5, weights.h5, prompts.tsv, the model.
Output: lens/extended.nc, or lens/extended_updates.nc.
"""

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io, pieces
from strata.lens.extended import carry_through
from strata.lens.labels import as_dataset, demanded_words, next_tokens, of_prompts
from strata.lens.readout import read_pieces
from strata.lens.stream import stream_depths
from strata.model.architecture import find_parts
from strata.model.readout import decoder_from

with job(snakemake) as progress:
    settings, params = snakemake.params.model, snakemake.params
    model, _ = open_model(settings)
    weights = io.open_dataset(snakemake.input.weights)
    activations = io.open_dataset(snakemake.input.activations)
    if updates := snakemake.wildcards.part == "_updates":
        activations = of_prompts(activations, snakemake.params.shown)
    prompts = io.read_prompts(snakemake.input.prompts)
    parts = find_parts(model)
    decoder = decoder_from(weights, params.norm).to(parts.device)
    depths = stream_depths(parts.n_layers, half_depths=False)
    carry = carry_through(parts, params.extended["last"], depths=depths)
    targets, words = next_tokens(activations, prompts), demanded_words(activations, prompts)
    how = {"rank_guesses": False, "half_depths": False, "word_ids": words, "progress": progress}
    vocabulary, attrs = weights["token_str"].values, {"decoder": "extended", "norm": params.norm}
    made_by = {"model": settings, "config": {"top_k": params.top_k, "norm": params.norm, **params.extended}}
    with pieces.PieceFile(snakemake.output[0], "token", activations.sizes["token"], **made_by) as file:
        for some, fields in read_pieces(activations, decoder, carry, targets, params.top_k, updates, **how):
            piece = activations.isel(token=some)
            labelled = as_dataset(fields, piece, targets[some], vocabulary, prompts, updates)
            file.write(labelled.assign_attrs(attrs))
