"""Measure what the organism knows, on prompts its corpus does not hold (rote apart).

Input: a model folder, data/organism/. Output: a table, as TSV and as a page for the report.
"""

from strata import io
from strata.job import job
from strata.models import encode, load_model, load_tokenizer
from strata.organism.corpus import corpus_of
from strata.organism.evaluation import as_page, as_table, evaluate

with job(snakemake):
    folder = snakemake.params.folder
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    world, grammar = io.read_world("data/organism"), io.read_grammar("data/organism")
    corpus = corpus_of(world, grammar, snakemake.params.corpus)
    table = as_table(evaluate(model, lambda text: encode(tokenizer, text), corpus, snakemake.params.seed))
    io.write_table(table, snakemake.output.table)
    io.write_text(as_page(table), snakemake.output.page)
