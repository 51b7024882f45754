"""Draw the figures of one job of the table of figures.

Input: the files that they are drawn from. Output: each as PNG and as SVG or PDF, found by the figure's name.
"""

import sys
from functools import cache
from importlib import import_module
from pathlib import Path

from pipeline.job import job
from strata import io
from strata.figures.categories import in_order
from strata.figures.saving import save_figure

with job(snakemake) as progress:
    models, order = snakemake.params.models, snakemake.params.order
    model = getattr(snakemake.wildcards, "model", None)

    def read(path: str, model: str | None):
        return in_order(io.open_data(path.format(model=model)), order)

    @cache  # opening takes longer than reading, and most files are drawn from more than once
    def opened(path: str):
        """One file; where figures show several models together, each model's."""
        if models and "{model}" in path:
            return {name: read(path, name) for name in models}
        return read(path, model)

    said = set()
    paths = list(zip(snakemake.output.png, snakemake.output.drawing, strict=True))
    size = snakemake.params.width, snakemake.params.dpi
    for png, drawing in progress(paths, "figures"):
        figure = snakemake.params.figures[Path(png).stem]
        module, _, function = figure["draw"].rpartition(".")
        draw = getattr(import_module(f"strata.figures.{module}"), function)
        data = {argument: opened(path) for argument, path in figure["data"].items()}
        save_figure(draw(**data, **figure["options"]), png, drawing, *size)
        if (look := figure.get("first_look")) and look not in said:
            said.add(look)
            print(f"{look}: {png}", file=sys.__stderr__, flush=True)
