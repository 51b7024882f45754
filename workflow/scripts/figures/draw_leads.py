"""Draw the figure of each section of findings, and one of all verdicts, of the models that are run.

Input: results of each model. Output: one figure each, as PNG and as SVG or PDF.
"""

from functools import cache

from pipeline.job import job
from strata import io
from strata.figures import findings as figures
from strata.figures.kept import draw_kept
from strata.figures.saving import save_figure
from strata.findings.answers import answers_of
from strata.findings.page import transitions_of

with job(snakemake) as progress:
    sections, models, noise, order = (snakemake.params[key] for key in ("table", "models", "noise", "order"))
    opened = cache(io.open_data)

    def of_each(path: str) -> dict:
        return {name: opened(f"results/{name}/{path}") for name in models}

    answers = answers_of(sections, models, opened)
    lenses, averages = of_each("lens/logit.nc"), of_each("trace/by_category.nc")
    layers = {name: int(lens["depth"][-1]) for name, lens in lenses.items()}
    drawn = {
        "traces": lambda: figures.draw_transitions(transitions_of(averages, noise, order), layers),
        "lens": lambda: figures.draw_lens(lenses),
        "embedding": lambda: figures.draw_values(answers["embedding"], list(models)),
        "twins": lambda: draw_kept(lenses, of_each("lens/probes.nc"), averages, noise),
        "verdicts": lambda: figures.draw_verdicts(sections, answers),
    }
    saved = zip(snakemake.params.drawn, snakemake.output.png, snakemake.output.drawing, strict=True)
    for name, png, drawing in progress(list(saved), "figures"):
        save_figure(drawn[name](), png, drawing, snakemake.params.width, snakemake.params.dpi)
