"""Tokenise every prompt with the model and decide which can be used.

Input: data/prompts, the model. Output: prompts.tsv.
"""

import pandas as pd

from pipeline.job import job
from pipeline.open_model import open_model
from strata import io
from strata.model.batching import check_lengths
from strata.model.loading import continuation
from strata.text import prompts
from strata.text.prompt_formats import read_prompt_file

with job(snakemake) as progress:
    model, tokenizer = open_model(snakemake.params.model)

    contents = [read_prompt_file(path).content for path in snakemake.input.prompts]
    encode, prefix = tokenizer.encode_with_offsets, snakemake.params.prefix_first
    pairs = [(c, prompts.begun(prompt, encode, prefix)) for c in contents for prompt in c["prompts"]]
    texts = [encode(prompt["text"]) for _, prompt in pairs]
    targets = [prompts.target_tokens(prompt, tokenizer.following) for _, prompt in pairs]
    lengths = [len(ids) + len(target[:-1]) for (ids, _), target in zip(texts, targets, strict=True)]
    names = [f"prompt {prompt['id']!r}" for _, prompt in pairs]
    check_lengths(model, lengths, names)
    rows = []
    for (content, prompt), (ids, offsets), target_ids, name in progress(
        list(zip(pairs, texts, targets, names, strict=True)), "prompts"
    ):
        completions = content["completion_sets"][prompt["completions"]] if "completions" in prompt else []
        found = continuation(model, ids, target_ids, name)
        curated = prompts.curate(
            prompt,
            content["category"],
            ids,
            offsets,
            target_ids,
            found.p_target,
            found.completes,
            found.top_id,
            tokenizer.strings([found.top_id])[0],
            prompts.first_tokens(prompt["text"], completions, tokenizer.following),
            snakemake.params.whole_target,
        )
        rows.append(curated.as_row())
    io.write_table(pd.DataFrame(rows), snakemake.output[0])
