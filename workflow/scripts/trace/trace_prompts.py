"""Corrupt the subject, restore one thing at a time: a state, the outputs of MLPs or attention, their pieces.

Input: prompts.tsv, the model. Output: trace/{what}.nc for everything restored; with pieces
trace/attribution.nc: what every part adds to the answer's logit in the clean run. Of a shard, its share of
each, in trace/shards.
"""

from pathlib import Path

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.model.architecture import find_parts
from strata.model.batching import check_lengths
from strata.pieces import write_pieces
from strata.share import Share
from strata.trace.dataset import after_prefix, traceable
from strata.trace.shares import Every
from strata.trace.sites import WHATS, restoration

with job(snakemake) as progress:
    settings, made, shard = (
        snakemake.params.model,
        snakemake.params.corruption,
        snakemake.wildcards.get("shard"),
    )
    model, tokenizer = open_model(settings)
    parts = find_parts(model)
    table = traceable(io.read_prompts(snakemake.input.prompts))
    ids = [tokenizer.encode(text) for text in table["text"]]
    [prefix] = tokenizer.encode_alone([snakemake.params.prefix])
    table, ids = after_prefix(table, ids, prefix, len(tokenizer.beginning))
    check_lengths(model, [*map(len, ids)], [f"prompt {name!r}, after the prefix," for name in table["id"]])
    only = {"id": snakemake.params.only, "category": snakemake.params.categories}
    how = (Share.named(shard), snakemake.params.max_rows, progress, only)
    every = Every(parts, made, table, ids, tokenizer.strings, *how)
    paths = {Path(path).stem: path for path in snakemake.output}
    window = snakemake.params.window
    restorations = {what: restoration(what, parts.n_layers, *window) for what in WHATS if what in paths}
    traces = [every.restored(restorations, snakemake.params.everywhere, snakemake.params.whole)]
    if pieces := snakemake.params.pieces:
        neurons = every.neurons(pieces["neurons"], pieces["neuron_groups"])
        traces += [every.heads(pieces["heads"]), neurons, every.attribution()]
    others = {key: snakemake.params[key] for key in ("window", "everywhere", "prefix")}
    config = {**made, **others}
    for each in traces:
        write_pieces(each, paths, shard is not None, model=settings, config=config)
