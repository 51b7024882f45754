"""Put the traces of all shards into one file, a few prompts at a time.

Input: trace/shards/{shard}/{trace}.nc. Output: trace/{trace}.nc, as if there had been no shards.
"""

from pipeline.job import job
from strata.names import PROMPT
from strata.pieces import gather

with job(snakemake):
    gather(snakemake.input, snakemake.output[0], PROMPT)
