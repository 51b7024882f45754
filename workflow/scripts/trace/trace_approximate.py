"""Approximate what restoring each state would do, to first order: all states at once, no exact trace.

Input: prompts.tsv, the model. Output: trace/approximate.nc.
"""

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.model.architecture import find_parts
from strata.model.batching import check_lengths
from strata.names import PROMPT
from strata.pieces import PieceFile
from strata.trace.approximate import approximate_many
from strata.trace.corruption import corrupt_as
from strata.trace.dataset import traceable

with job(snakemake) as progress:
    settings, made = snakemake.params.model, snakemake.params.corruption
    model, tokenizer = open_model(settings)
    parts = find_parts(model)
    table = traceable(io.read_prompts(snakemake.input.prompts))
    ids = [tokenizer.encode(text) for text in table["text"]]
    check_lengths(model, [*map(len, ids)], [f"prompt {name!r}" for name in table["id"]])
    prompts, levels = corrupt_as(made, parts, table, ids)
    labels = {"table": table, "token_strings": [*map(tokenizer.strings, ids)], "levels": levels}
    traces = approximate_many(parts, prompts, snakemake.params.max_rows, progress, **labels)
    with PieceFile(snakemake.output[0], PROMPT, len(prompts), model=settings, config=made) as file:
        for trace in traces:
            file.write(trace)
