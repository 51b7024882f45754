"""Strata: a GPT-like language model, taken apart layer by layer."""

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"
include: "workflow/rules/prompts.smk"
include: "workflow/rules/extract.smk"
include: "workflow/rules/text.smk"
include: "workflow/rules/lens.smk"
include: "workflow/rules/trace.smk"
include: "workflow/rules/attention.smk"
include: "workflow/rules/syntax.smk"
include: "workflow/rules/embedding.smk"
include: "workflow/rules/organism.smk"


rule all:
    default_target: True
    input:
        expand("results/{model}/figures/{figure}.png", model=config["run"], figure=FIGURES),
        expand("results/{model}/trace/order.tsv", model=config["run"]),
        expand("results/{model}/lens/pages/{prompt}.html", model=config["run"], prompt=PAGES),
        "results/models/lens_models.png",
        expand("results/organism/evaluation.html") if "organism" in config["run"] else [],
