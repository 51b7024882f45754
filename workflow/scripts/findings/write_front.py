"""Write the first page of the report: what was run, and what holds of each model.

Input: claims.tsv and prompts.tsv of every model that is run. Output: front.rst, for `snakemake --report`.
"""

from pipeline.job import job
from strata import io
from strata.findings.front import front_page

with job(snakemake):
    table, models = snakemake.params.table, snakemake.params.models
    claims = dict(zip(models, map(io.read_table, snakemake.input.claims), strict=True))
    prompts = dict(zip(models, map(io.read_prompts, snakemake.input.prompts), strict=True))
    io.write_text(front_page(table, claims, prompts, models), snakemake.output[0])
