# activations.h5, weights.h5, prompts.tsv -> results/{model}/lens/logit.nc -> figures
rule read_lens:
    input:
        activations="results/{model}/activations.h5",
        weights="results/{model}/weights.h5",
        prompts="results/{model}/prompts.tsv",
        library=library("lens", "decoders", "io"),
    output:
        "results/{model}/lens/logit.nc",
    log:
        "logs/{model}/read_lens.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    params:
        top_k=config["lens"]["top_k"],
    script:
        "../scripts/read_lens.py"


rule plot_lens_grid:
    input:
        lens="results/{model}/lens/logit.nc",
        library=library("figures.lens", "io"),
    output:
        png=report(
            "results/{model}/figures/lens_grid_{prompt}.png",
            category="1 Logit lens",
            subcategory="{model}",
            labels={"figure": "grid", "prompt": "{prompt}"},
            caption="../report/lens_grid.rst",
        ),
        svg="results/{model}/figures/lens_grid_{prompt}.svg",
    log:
        "logs/{model}/plot_lens_grid_{prompt}.log",
    conda:
        "../../envs/strata.yaml"
    params:
        window=config["lens"]["window"],
    script:
        "../scripts/plot_lens_grid.py"


rule plot_lens_divergence:
    input:
        lens="results/{model}/lens/logit.nc",
        library=library("figures.lens", "io"),
    output:
        png=report(
            "results/{model}/figures/lens_divergence.png",
            category="1 Logit lens",
            subcategory="{model}",
            labels={"figure": "divergence by depth", "prompt": "all"},
            caption="../report/lens_divergence.rst",
        ),
        svg="results/{model}/figures/lens_divergence.svg",
    log:
        "logs/{model}/plot_lens_divergence.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_lens_divergence.py"
