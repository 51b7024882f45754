"""Judge what was claimed of models by the results of one.

Input: what its claims ask for. Output: claims.tsv, and the same as a page for the report.
"""

from functools import cache

from pipeline.job import job
from strata import io
from strata.findings.answers import answers_of
from strata.findings.scorecard import as_page, scorecard

with job(snakemake):
    table, model = snakemake.params.table, snakemake.wildcards.model
    answers = answers_of(table, snakemake.params.models, cache(io.open_data), [model])
    io.write_table(scorecard(table, answers, model), snakemake.output.table)
    io.write_text(as_page(table, answers, model), snakemake.output.page)
