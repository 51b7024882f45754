# what every stage leaves of the models that are run, workflow/findings.yaml -> docs/findings.md   (target: findings)


rule findings:
    input:
        files_behind(PROJECT.findings, RUN),
        template="workflow/scripts/strata/findings/findings.md.j2",
    output:
        page="docs/findings.md",
        png=expand("docs/figures/findings_{section}.png", section=PROJECT.findings),
        svg=expand("results/models/findings_{section}.svg", section=PROJECT.findings),
    params:
        table=PROJECT.findings,
        models=RUN,
        noise=config["figures"]["noise"],
        order=AVERAGE["order"],
    script:
        "../scripts/figures/findings.py"
