# weights.h5 -> results/{model}/embedding.nc -> figures
rule decompose_embeddings:
    input:
        weights="results/{model}/weights.h5",
        library=library("embedding.svd", "io"),
    output:
        "results/{model}/embedding.nc",
    log:
        "logs/{model}/decompose_embeddings.log",
    conda:
        "../../envs/strata.yaml"
    params:
        components=config["embedding"]["components"],
    script:
        "../scripts/decompose_embeddings.py"


rule plot_embedding:
    input:
        embedding="results/{model}/embedding.nc",
        weights="results/{model}/weights.h5",
        library=library("figures.embedding", "io"),
    output:
        png=report(
            "results/{model}/figures/embedding_{figure}.png",
            category="4 Embeddings",
            subcategory="{model}",
            labels={"figure": "{figure}", "prompt": ""},
            caption="../report/embedding.rst",
        ),
        svg="results/{model}/figures/embedding_{figure}.svg",
    log:
        "logs/{model}/plot_embedding_{figure}.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_embedding.py"
