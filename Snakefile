"""Strata: a GPT-like language model, taken apart layer by layer."""

from snakemake.utils import min_version

min_version("9.0")


report: "results/models/front.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/functions.smk"
include: "workflow/rules/model.smk"
include: "workflow/rules/text.smk"
include: "workflow/rules/lens.smk"
include: "workflow/rules/trace.smk"
include: "workflow/rules/shards.smk"
include: "workflow/rules/attention.smk"
include: "workflow/rules/syntax.smk"
include: "workflow/rules/embedding.smk"
include: "workflow/rules/organism.smk"
include: "workflow/rules/findings.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/jobs.smk"


rule all:
    default_target: True
    input:
        asked_for(PROJECT.figures, {model: features_of(config["models"][model]) for model in config["run"]}),
        [*rules.draw_leads.output, "results/models/front.rst"],
        expand("results/{model}/lens/explorer.html", model=RUN),
        expand("results/{model}/evaluation.html", model=sorted(RUN.keys() & ORGANISM["variants"])),
