"""Tokenise every prompt with the model and decide which can be used.

Input: data/prompts, the model. Output: prompts.tsv.
"""

from functools import partial

import pandas as pd

from pipeline.job import job
from strata import io
from strata.model.batching import check_lengths
from strata.model.loading import continuation, load_model
from strata.text import prompts
from strata.text.prompt_formats import read_prompt_file
from strata.text.tokenizer import encode, encode_with_offsets, load_tokenizer, token_strings

with job(snakemake) as progress:
    settings = snakemake.params.model
    model = load_model(settings["source"], settings["revision"], settings["dtype"], settings["device"])
    tokenizer = load_tokenizer(settings["source"], settings["revision"])

    contents = [read_prompt_file(path).content for path in snakemake.input.prompts]
    encoded, prefix = partial(encode_with_offsets, tokenizer), snakemake.params.prefix_first
    pairs = [(c, prompts.begun(prompt, encoded, prefix)) for c in contents for prompt in c["prompts"]]
    texts = [encoded(prompt["text"]) for _, prompt in pairs]
    targets = [encode(tokenizer, prompt.get("target", "")) for _, prompt in pairs]
    lengths = [len(ids) + len(target) for (ids, _), target in zip(texts, targets, strict=True)]
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
            token_strings(tokenizer, [found.top_id])[0],
            (encode(tokenizer, completion)[0] for completion in completions),
            snakemake.params.whole_target,
        )
        rows.append(curated.as_row())
    io.write_table(pd.DataFrame(rows), snakemake.output[0])
