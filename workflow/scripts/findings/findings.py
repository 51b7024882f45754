"""Write what holds on the models that are run, side by side.

Input: results of each model, the figures of the sections. Output: docs/findings.md, and these figures there.
"""

from functools import cache

from pipeline.job import job
from strata import io
from strata.findings.answers import answers_of
from strata.findings.page import describe_model, noise_of, transitions_of, write_page

with job(snakemake):
    sections, models, noise, order = (snakemake.params[key] for key in ("table", "models", "noise", "order"))
    opened = cache(lambda path: io.read_prompts(path) if path.endswith("prompts.tsv") else io.open_data(path))

    def of_each(path: str) -> dict:
        return {name: opened(f"results/{name}/{path}") for name in models}

    averages, prompts, texts = map(of_each, ("trace/by_category.nc", "prompts.tsv", "text/text.nc"))
    about = {
        name: describe_model(prompts[name], texts[name], averages[name], order)
        | {"noise_sd": noise_of(averages[name], noise)}
        for name in models
    }
    for drawn, shown in zip(snakemake.input.png, snakemake.output.png, strict=True):
        io.copy(drawn, shown)
    places = {
        name: png.removeprefix("docs/")
        for name, png in zip(snakemake.params.drawn, snakemake.output.png, strict=True)
    }
    answers = answers_of(sections, models, opened)
    page = write_page(sections, answers, about, transitions_of(averages, noise, order), noise, places)
    io.write_text(page, snakemake.output.page)
