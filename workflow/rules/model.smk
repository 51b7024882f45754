# a GGUF file -> results/{model}/model/, a folder as all others read it
# data/prompts, model -> results/{model}/prompts.tsv
# model -> results/{model}/weights.h5
# model, prompts.tsv -> results/{model}/activations.h5


rule unpack_model:
    input:
        lambda wildcards: ancient(sources_of(config["models"][wildcards.model])),
    output:
        expand("results/{{model}}/model/{file}", file=UNPACKED),
    priority: 100
    params:
        contents=MODELS.contents,
    script:
        "../scripts/extract/unpack_model.py"


rule curate_prompts:
    input:
        prompts=list(PROJECT.prompts),
        named=PROJECT.named,
        model=MODELS.files,
    output:
        "results/{model}/prompts.tsv",
    priority: 100
    params:
        **config["prompts"],
        model=MODELS.settings,
    script:
        "../scripts/prompts/curate_prompts.py"


rule extract_weights:
    input:
        model=MODELS.files,
    output:
        "results/{model}/weights.h5",
    priority: 90
    params:
        model=lambda wildcards: MODELS.settings(wildcards, ("source", "revision", "dtype")),
    script:
        "../scripts/extract/extract_weights.py"


rule extract_activations:
    input:
        prompts="results/{model}/prompts.tsv",
        model=MODELS.files,
    output:
        "results/{model}/activations.h5",
    priority: 100
    params:
        model=MODELS.settings,
        dtype=config["extract"]["dtype"],
    script:
        "../scripts/extract/extract_activations.py"
