"""Measure what the organism knows, on prompts its corpus does not hold (rote apart).

Input: a model folder, data/organism/. Output: a table, as TSV and as a page for the report.
"""

from pipeline.job import job
from strata import io
from strata.model.loading import load_model
from strata.organism.evaluation import as_page, as_table, evaluate
from strata.organism.grammar import read_grammar
from strata.organism.tables import read_world
from strata.text.tokenizer import load_tokenizer

with job(snakemake):
    folder = snakemake.params.folder
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    world, grammar = read_world("data/organism"), read_grammar("data/organism")
    scores = evaluate(model, tokenizer.encode, world, grammar, snakemake.params.seed)
    table = as_table(scores)
    io.write_table(table, snakemake.output.table)
    io.write_text(as_page(table), snakemake.output.page)
