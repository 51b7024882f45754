"""Write an interactive page of the lens for every prompt and passage asked for.

Input: lens/{decoder}.nc of every decoder. Output: lens/pages/{prompt}.html.
"""

from pathlib import Path

import numpy as np

from pipeline.job import job
from strata import io
from strata.figures.lens_page import build_page

with job(snakemake) as progress:
    lenses = {name: io.open_dataset(snakemake.input[name]).load() for name in snakemake.params.decoders}
    prompts = next(iter(lenses.values()))["prompt"].values
    for path in progress(snakemake.output, "pages"):
        tokens = np.flatnonzero(prompts == Path(path).stem)
        page = build_page({name: lens.isel(token=tokens) for name, lens in lenses.items()})
        io.write_text(page, path)
