"""Compare the decoders by depth and category.

Input: lens/{decoder}.nc of every decoder. Output: lens/comparison.tsv.
"""

from pipeline.job import job
from strata import io
from strata.lens.comparison import compare

with job(snakemake):
    lenses = {name: io.open_dataset(snakemake.input[name]) for name in snakemake.params.decoders}
    table = compare(lenses, **snakemake.params.statistics)
    io.write_table(table, snakemake.output[0])
