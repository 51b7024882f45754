# data/organism/ or a text file, tokenizer -> results/{model}/text/text.nc, token_counts.tsv
# text.nc, model -> results/{model}/text/activations.h5
rule gather_text:
    input:
        source=WORLD if TEXT_IS_CORPUS else TEXT_SOURCE,
        model=model_files,
        library=library("text", "models", "organism.corpus", "io"),
    output:
        text="results/{model}/text/text.nc",
        counts="results/{model}/text/token_counts.tsv",
    log:
        "logs/{model}/gather_text.log",
    conda:
        "../../envs/strata.yaml"
    params:
        model=tokenizer_settings,
        text=text_made,
    script:
        "../scripts/gather_text.py"


rule extract_text:
    input:
        text="results/{model}/text/text.nc",
        model=model_files,
        library=library("text", "models", "architecture", "capture", "io"),
    output:
        "results/{model}/text/activations.h5",
    log:
        "logs/{model}/extract_text.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    resources:
        gpu=gpus,
    params:
        model=model_settings,
        dtype=config["text"]["dtype"],
    script:
        "../scripts/extract_text.py"
