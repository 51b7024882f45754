"""Put what all shards hold into one file, a piece at a time.

Input: trace/shards/{shard}/{trace}.nc, or lens/shards/{shard}/{decoder}.nc.
Output: trace/{trace}.nc, or lens/{decoder}.nc, as if there had been no shards.
"""

from pipeline.job import job
from strata.pieces import gather

with job(snakemake):
    gather(snakemake.input, snakemake.output[0])
