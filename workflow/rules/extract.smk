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
    conda:
        "../../envs/strata.yaml"
    threads: 1
    params:
        model=weights_settings,
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
    conda:
        "../../envs/strata.yaml"
    threads: 2
    resources:
        gpu=gpus,
    params:
        model=model_settings,
        dtype=config["extract"]["dtype"],
    script:
        "../scripts/extract_activations.py"
