"""Draw the figures of one job of the table of figures.

Input: the files that they are drawn from. Output: each as PNG and as SVG or PDF, found by the figure's name.
"""

import sys
from functools import cache
from importlib import import_module
from pathlib import Path

from pipeline.job import job
from strata import io
from strata.figures.saving import save_figure

with job(snakemake) as progress:
    models, model = snakemake.params.models, getattr(snakemake.wildcards, "model", None)

    @cache  # opening takes longer than reading, and most files are drawn from more than once
    def opened(path: str):
        """One file; where figures show several models together, each model's."""
        if models and "{model}" in path:
            return {name: io.open_data(path.format(model=name)) for name in models}
        return io.open_data(path.format(model=model))

    said = set()
    paths, width = zip(snakemake.output.png, snakemake.output.drawing, strict=True), snakemake.params.width
    for png, drawing in progress(list(paths), "figures"):
        figure = snakemake.params.figures[Path(png).stem]
        module, _, function = figure["draw"].rpartition(".")
        draw = getattr(import_module(f"strata.figures.{module}"), function)
        data = {argument: opened(path) for argument, path in figure["data"].items()}
        save_figure(draw(**data, **figure["options"]), png, drawing, width)
        if (look := figure.get("first_look")) and look not in said:
            said.add(look)
            print(f"{look}: {png}", file=sys.__stderr__, flush=True)
