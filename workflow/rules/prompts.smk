# data/prompts/*.yaml, model -> results/{model}/prompts.tsv
rule curate_prompts:
    input:
        prompts=[str(path) for path in PROMPTS],
        model=model_files,
        library=library("models", "prompts", "io"),
    output:
        "results/{model}/prompts.tsv",
    log:
        "logs/{model}/curate_prompts.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    resources:
        gpu=gpus,
    params:
        model=model_settings,
    script:
        "../scripts/curate_prompts.py"
