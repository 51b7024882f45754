"""Noise the subject, restore one state at a time, at every depth and position.

Input: prompts.tsv, the model. Output: trace/state.nc.
"""

from strata import io
from strata.architecture import find_parts
from strata.job import job
from strata.models import encode, load_model, load_tokenizer, token_strings
from strata.trace import as_dataset, noise_levels, trace_prompt, traceable

with job(snakemake) as progress:
    settings = snakemake.params.model
    model = load_model(settings["source"], settings["revision"], settings["dtype"], settings["device"])
    tokenizer = load_tokenizer(settings["source"], settings["revision"])
    parts = find_parts(model)
    table = io.read_prompts(snakemake.input.prompts)
    table = traceable(table)
    ids = [encode(tokenizer, text) for text in table["text"]]

    levels = noise_levels(parts, table["subject_id"], **snakemake.params.noise)
    traces = [
        trace_prompt(
            parts,
            ids[row.Index],
            row,
            levels,
            snakemake.params.samples,
            snakemake.params.seed,
            snakemake.params.max_rows,
        )
        for row in progress(list(table.itertuples()), "prompts")
    ]
    strings = [token_strings(tokenizer, prompt) for prompt in ids]
    dataset = as_dataset(traces, table, strings, levels)
    keys = ("noise", "samples", "seed")
    made_by = {key: getattr(snakemake.params, key) for key in keys}
    io.write_dataset(dataset, snakemake.output[0], model=settings, config=made_by)
