# model -> results/{model}/weights.h5
# model, prompts.tsv -> results/{model}/activations.h5
rule extract_weights:
    input:
        model=model_files,
        library=library("models", "architecture", "io"),
    output:
        "results/{model}/weights.h5",
    log:
        "logs/{model}/extract_weights.log",
    params:
        model=model_settings,
    threads: 1
    script:
        "../scripts/extract_weights.py"


rule extract_activations:
    input:
        prompts="results/{model}/prompts.tsv",
        model=model_files,
        library=library("models", "architecture", "capture", "io"),
    output:
        "results/{model}/activations.h5",
    log:
        "logs/{model}/extract_activations.log",
    params:
        model=model_settings,
        dtype=config["extract"]["dtype"],
    threads: 2
    resources:
        gpu=1,
    script:
        "../scripts/extract_activations.py"
