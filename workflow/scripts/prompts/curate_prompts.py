"""Tokenise every prompt with the model and decide which can be used.

Input: data/prompts, the model. Output: prompts.tsv.
"""

import pandas as pd

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.model.architecture import find_parts
from strata.model.continuations import continuations
from strata.text import prompts
from strata.text.endings import settle
from strata.text.prompt_formats import read_prompt_file

with job(snakemake) as progress:
    model, tokenizer = open_model(snakemake.params.model)

    contents = [read_prompt_file(path).content for path in snakemake.input.prompts]
    encode, prefix = tokenizer.encode_with_offsets, snakemake.params.prefix_first
    pairs = [(c, prompts.begun(prompt, encode, prefix)) for c in contents for prompt in c["prompts"]]
    texts = [encode(prompt["text"]) for _, prompt in pairs]
    targets = [prompts.target_tokens(prompt, tokenizer.following) for _, prompt in pairs]
    names = [f"prompt {prompt['id']!r}" for _, prompt in pairs]
    ids = [tokens for tokens, _ in texts]
    found = continuations(find_parts(model), ids, targets, names, progress=progress)
    rows = []
    for (content, prompt), text, target_ids, made in zip(pairs, texts, targets, found, strict=True):
        completions = content["completion_sets"][prompt["completions"]] if "completions" in prompt else []
        curated = prompts.curate(
            prompt,
            content["category"],
            *text,
            target_ids,
            made.p_target,
            made.p_whole_target,
            made.completes,
            made.top_id,
            tokenizer.strings([made.top_id])[0],
            prompts.first_tokens(prompt["text"], completions, tokenizer.following),
            snakemake.params.whole_target,
        )
        rows.append(curated)
    rows = settle(rows, ids, tokenizer.following)
    io.write_table(pd.DataFrame([row.as_row() for row in rows]), snakemake.output[0])
