"""Corrupt the subject, restore one thing at a time: a state, the outputs of MLPs or attention, their pieces.

Input: prompts.tsv, the model. Output: trace/{what}.nc for everything restored; with pieces
trace/attribution.nc: what every part adds to the answer's logit in the clean run.
"""

from pathlib import Path

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.model.architecture import find_parts
from strata.model.attribution import attribute
from strata.model.batching import check_lengths
from strata.trace.corruption import corrupt_as, level_names
from strata.trace.dataset import after_prefix, of_first, of_ids, traceable
from strata.trace.heads import trace_heads
from strata.trace.many import trace_many
from strata.trace.neurons import trace_neurons
from strata.trace.sites import WHATS, restoration

with job(snakemake) as progress:
    settings, made = snakemake.params.model, snakemake.params.corruption
    model, tokenizer = open_model(settings)
    parts = find_parts(model)
    table = traceable(io.read_prompts(snakemake.input.prompts))
    ids = [tokenizer.encode(text) for text in table["text"]]
    [prefix] = tokenizer.encode_alone([snakemake.params.prefix])
    table, ids = after_prefix(table, ids, prefix, len(tokenizer.beginning))
    check_lengths(model, [*map(len, ids)], [f"prompt {name!r}, after the prefix," for name in table["id"]])
    prompts, levels = corrupt_as(made, parts, table, ids)
    strings, at_once = [tokenizer.strings(prompt) for prompt in ids], snakemake.params.max_rows
    if snakemake.params.only is not None:
        # Corrupted as among all prompts: the same as in the whole trace.
        table, prompts, ids, strings = of_ids(snakemake.params.only, table, prompts, ids, strings)
    paths = {Path(path).stem: path for path in snakemake.output}
    window = snakemake.params.window
    restorations = {what: restoration(what, parts.n_layers, *window) for what in WHATS if what in paths}
    everywhere = snakemake.params.everywhere and level_names(**snakemake.params.everywhere)
    config = {**made, "window": window, "everywhere": everywhere, "prefix": snakemake.params.prefix}
    made_by = {"model": settings, "config": config}
    labels = {"table": table, "token_strings": strings, "levels": levels, "whole": snakemake.params.whole}
    traces = trace_many(parts, prompts, restorations, at_once, progress, everywhere, **labels)
    io.write_pieces(traces, paths, "prompt", len(prompts), **made_by)
    found = {}
    if pieces := snakemake.params.pieces:
        how, groups = (levels, at_once, progress), (pieces["neuron_groups"], made["seed"])
        found["heads"] = trace_heads(parts, *of_first(pieces["heads"], table, prompts, strings), *how)
        some = of_first(pieces["neurons"], table, prompts, strings)
        found["neurons"] = trace_neurons(parts, *some, *groups, *how)
        found["attribution"] = attribute(parts, ids, table)
    for what, dataset in found.items():
        io.write_dataset(dataset, paths[what], **made_by)
