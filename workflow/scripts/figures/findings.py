"""Write what holds on the models that are run, side by side.

Input: results of each model. Output: docs/findings.md, and its figures as PNG and SVG.
"""

from functools import cache

from pipeline.job import job
from strata import io
from strata.figures import findings as figures
from strata.figures.kept import draw_kept
from strata.figures.saving import save_figure
from strata.findings.answers import answers_of
from strata.findings.page import describe_model, noise_of, transitions_of, write_page

with job(snakemake):
    sections, models, noise, order = (snakemake.params[key] for key in ("table", "models", "noise", "order"))
    opened = cache(lambda path: io.read_prompts(path) if path.endswith("prompts.tsv") else io.open_data(path))

    def of_each(path: str) -> dict:
        return {name: opened(f"results/{name}/{path}") for name in models}

    answers = answers_of(sections, models, opened)
    averages = of_each("trace/by_category.nc")
    prompts, texts = of_each("prompts.tsv"), of_each("text/text.nc")
    about = {
        name: describe_model(prompts[name], texts[name], averages[name], order)
        | {"noise_sd": noise_of(averages[name], noise)}
        for name in models
    }
    transitions = transitions_of(averages, noise, order)
    drawn = {
        "traces": figures.draw_transitions(transitions, {name: m["layers"] for name, m in about.items()}),
        "lens": figures.draw_lens(of_each("lens/logit.nc")),
        "embedding": figures.draw_values(answers["embedding"], list(models)),
        "twins": draw_kept(of_each("lens/logit.nc"), of_each("lens/probes.nc"), averages, noise),
        "verdicts": figures.draw_verdicts(sections, answers),
    }
    for name, png, svg in zip(drawn, snakemake.output.png, snakemake.output.svg, strict=True):
        save_figure(drawn[name], png, svg)
    places = {name: png.removeprefix("docs/") for name, png in zip(drawn, snakemake.output.png, strict=True)}
    io.write_text(write_page(sections, answers, about, transitions, noise, places), snakemake.output.page)
