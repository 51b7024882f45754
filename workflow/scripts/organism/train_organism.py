"""Train the organism.

Input: tokens.npz, tokenizer/. Output: model/ (safetensors, config, tokenizer), loss.tsv.
"""

import pandas as pd

from pipeline.job import job
from strata import io
from strata.organism.training import LOG_EVERY, Recipe, averaged, train
from strata.text.tokenizer import load_tokenizer

with job(snakemake) as progress:
    recipe = Recipe(**snakemake.params.recipe)
    tokens, kinds, names = io.read_corpus(snakemake.input.tokens)
    lines = []
    steps = train(tokens, kinds, names, recipe)
    for line, model in averaged(progress(steps, f"steps of {recipe.steps}"), recipe, LOG_EVERY):
        lines.append(line)
        io.write_table(pd.DataFrame(lines), snakemake.output.loss)
        model.save_pretrained(snakemake.output.model)
    load_tokenizer(snakemake.input.tokenizer).base.save_pretrained(snakemake.output.model)
