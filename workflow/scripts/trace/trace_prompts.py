"""Corrupt the subject, restore one thing at a time: a state, the outputs of MLPs or of attention.

Input: prompts.tsv, the model. Output: trace/{what}.nc for everything restored.
"""

from itertools import compress
from pathlib import Path

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.model.architecture import find_parts
from strata.model.batching import check_lengths
from strata.trace.corruption import corrupt, level_names, noise_levels, replacements, subject_tokens
from strata.trace.dataset import after_prefix, as_dataset, traceable
from strata.trace.sweep import restoration, trace_prompts

with job(snakemake) as progress:
    settings, made = snakemake.params.model, snakemake.params.corruption
    model, tokenizer = open_model(settings)
    parts = find_parts(model)
    table = traceable(io.read_prompts(snakemake.input.prompts))
    ids = [tokenizer.encode(text) for text in table["text"]]
    [prefix] = tokenizer.encode_alone([snakemake.params.prefix])
    table, ids = after_prefix(table, ids, prefix, len(tokenizer.beginning))
    check_lengths(model, [*map(len, ids)], [f"prompt {name!r}, after the prefix," for name in table["id"]])
    subject_ids = [token for subject in subject_tokens(table, ids) for token in subject]
    levels = noise_levels(parts, subject_ids, **made["noise"])
    prompts = corrupt(
        table,
        ids,
        levels=levels,
        n_samples=made["samples"],
        n_channels=parts.token_embedding.embedding_dim,
        seed=made["seed"],
        others=replacements(table, ids, made["replacements"], made["seed"]),
        shared=made["shared"],
    )
    if snakemake.params.only is not None:
        # Corrupted as among all prompts: the same as in the whole trace.
        kept = table["id"].isin(snakemake.params.only)
        prompts, ids = list(compress(prompts, kept)), list(compress(ids, kept))
        table = table[kept].reset_index(drop=True)
    whats = [Path(path).stem for path in snakemake.output]
    window = snakemake.params.window
    restorations = {what: restoration(what, parts.n_layers, *window) for what in whats}
    everywhere = snakemake.params.everywhere and level_names(**snakemake.params.everywhere)
    traces = trace_prompts(parts, prompts, restorations, snakemake.params.max_rows, progress, everywhere)
    strings = [tokenizer.strings(prompt) for prompt in ids]
    config = {**made, "window": window, "everywhere": everywhere, "prefix": snakemake.params.prefix}
    for what, path in zip(whats, snakemake.output, strict=True):
        dataset = as_dataset(traces[what], table, strings, levels, restorations[what].dim)
        io.write_dataset(dataset, path, model=settings, config=config)
