# what every stage leaves of a model, workflow/findings.yaml -> results/{model}/claims.tsv; of all -> results/models/front.rst
# what every stage leaves of the models that are run -> docs/findings.md   (target: findings)
DRAWN = [*(section for section, part in PROJECT.findings.items() if "caption" in part), "verdicts"]


rule judge_claims:
    input:
        lambda wildcards: files_asked(PROJECT.findings, wildcards.model, RUN),
    output:
        table="results/{model}/claims.tsv",
        page=page_in_report("claims", "0 Claims", "what holds"),
    params:
        table=PROJECT.findings,
        models=RUN,
    script:
        "../scripts/findings/judge_claims.py"


rule write_front:
    input:
        claims=expand("results/{model}/claims.tsv", model=RUN),
        prompts=expand("results/{model}/prompts.tsv", model=RUN),
    output:
        "results/models/front.rst",
    params:
        table=PROJECT.findings,
        models=RUN,
    script:
        "../scripts/findings/write_front.py"


rule findings:
    input:
        files_behind(PROJECT.findings, RUN),
        template="workflow/scripts/strata/findings/findings.md.j2",
    output:
        page="docs/findings.md",
        png=expand("docs/figures/findings_{section}.png", section=DRAWN),
        svg=expand("results/models/findings_{section}.svg", section=DRAWN),
    params:
        table=PROJECT.findings,
        models=RUN,
        noise=config["figures"]["noise"],
        order=AVERAGE["order"],
    script:
        "../scripts/figures/findings.py"
