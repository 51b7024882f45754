"""Tokenise every prompt with the model and decide which can be used.

Input: data/prompts/*.yaml, the model. Output: prompts.tsv.
"""

import pandas as pd

from pipeline.job import job
from strata import io
from strata.inputs import read_yaml
from strata.model.loading import load_model, next_token
from strata.model.tokenizer import load_tokenizer, token_strings
from strata.text import prompts

with job(snakemake) as progress:
    settings = snakemake.params.model
    model = load_model(settings["source"], settings["revision"], settings["dtype"], settings["device"])
    tokenizer = load_tokenizer(settings["source"], settings["revision"])

    contents = [read_yaml(path) for path in snakemake.input.prompts]

    def first_id(completion: str) -> int:
        return tokenizer.encode(completion, add_special_tokens=False)[0]

    pairs = [(content, prompt) for content in contents for prompt in content["prompts"]]
    rows = []
    for content, prompt in progress(pairs, "prompts"):
        encoded = tokenizer(prompt["text"], add_special_tokens=False, return_offsets_mapping=True)
        target = prompt.get("target")
        target_id = first_id(target) if target else None
        completions = content["completion_sets"][prompt["completions"]] if "completions" in prompt else []
        top_id, p_target = next_token(model, encoded["input_ids"], target_id)
        rows.append(
            prompts.curate(
                prompt,
                content["category"],
                encoded["input_ids"],
                encoded["offset_mapping"],
                target_id,
                p_target,
                top_id,
                token_strings(tokenizer, [top_id])[0],
                map(first_id, completions),
            ).as_row()
        )
    io.write_table(pd.DataFrame(rows), snakemake.output[0])
