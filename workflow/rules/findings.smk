# what every stage leaves of a model, workflow/findings.yaml -> results/{model}/claims.tsv; of all -> results/models/front.rst
# what every stage leaves of the models that are run -> docs/findings.md   (target: findings)
DRAWN = [*(section for section, part in PROJECT.findings.items() if "caption" in part), "verdicts"]
FOUND = {"table": PROJECT.findings, "models": RUN}
LEADS = FOUND | {"drawn": DRAWN, "noise": config["figures"]["noise"], "order": AVERAGE["order"]}


rule judge_claims:
    input:
        lambda wildcards: files_asked(PROJECT.findings, wildcards.model, RUN),
    output:
        table="results/{model}/claims.tsv",
        page=page_in_report("claims", "0 Claims", "what holds"),
    localrule: True
    params:
        **FOUND,
    script:
        "../scripts/findings/judge_claims.py"


rule draw_leads:
    input:
        files_behind(PROJECT.findings, RUN),
    output:
        png=expand("results/models/findings_{section}.png", section=DRAWN),
        drawing=expand(f"results/models/findings_{{section}}.{FORM['format']}", section=DRAWN),
    localrule: True
    params:
        **LEADS | FORM,
    script:
        "../scripts/figures/draw_leads.py"


rule write_front:
    input:
        **{name: expand(f"results/{{model}}/{name}.tsv", model=RUN) for name in ("claims", "prompts")},
        leads=rules.draw_leads.output.png,
    output:
        front="results/models/front.rst",
        page=page_in_report("run", "0 Claims", "how it was run", "models"),
    localrule: True
    params:
        **FOUND | {"drawn": DRAWN, "config": config | {"models": RUN}},
    script:
        "../scripts/findings/write_front.py"


rule findings:
    input:
        files_behind(PROJECT.findings, RUN),
        template="workflow/scripts/strata/findings/findings.md.j2",
        png=rules.draw_leads.output.png,
    output:
        page="docs/findings.md",
        png=expand("docs/figures/findings_{section}.png", section=DRAWN),
    localrule: True
    params:
        **LEADS,
    script:
        "../scripts/findings/findings.py"
