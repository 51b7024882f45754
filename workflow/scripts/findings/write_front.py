"""Write the first page of the report, what was run and what holds of each model, and how it was run.

Input: claims.tsv and prompts.tsv of every model that is run, the figures of the sections.
Output: front.rst, for `snakemake --report`, and run.html, which the report has too.
"""

from importlib.metadata import version
from platform import python_version

from pipeline.job import job
from strata import __version__, io
from strata.findings.front import front_page
from strata.findings.run_page import run_page

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "numpy",
    "scipy",
    "xarray",
    "h5py",
    "snakemake",
    "matplotlib",
)

with job(snakemake):
    params, inputs = snakemake.params, snakemake.input
    claims = dict(zip(params.models, map(io.read_table, inputs.claims), strict=True))
    prompts = dict(zip(params.models, map(io.read_prompts, inputs.prompts), strict=True))
    leads = dict(zip(params.drawn, map(io.as_uri, inputs.leads), strict=True))
    io.write_text(front_page(params.table, claims, prompts, params.models, leads), snakemake.output.front)
    versions = {
        "strata": __version__,
        "Python": python_version(),
        **{name: version(name) for name in PACKAGES},
    }
    io.write_text(run_page(prompts, versions, params.config), snakemake.output.page)
