"""Unpack a GGUF file into the folder that everything else reads.

Input: the file. Output: the folder's files, those of pipeline.models.UNPACKED.
"""

from pathlib import Path

from pipeline.job import job
from strata.model.unpacking import unpack_gguf

with job(snakemake):
    unpack_gguf(snakemake.input[0], Path(snakemake.output[0]).parent)
