# the tagged text of a model, tokenizer -> results/{model}/syntax/text.nc: words with their tags
# syntax/text.nc, model, weights.h5 -> results/{model}/syntax/probes.nc, keys.nc, tables
SYNTAX = config["syntax"]


rule tag_text:
    input:
        source=lambda wildcards: source_files(wildcards, "tagged_text"),
        model=MODELS.files,
    output:
        "results/{model}/syntax/text.nc",
    params:
        model=lambda wildcards: MODELS.settings(wildcards, ("source", "revision")),
        text=lambda wildcards: drawn(config, wildcards.model, "tagged_text"),
    script:
        "../scripts/syntax/tag_text.py"


use rule extract_text as extract_tagged_text with:
    input:
        text="results/{model}/syntax/text.nc",
        model=MODELS.files,
    output:
        "results/{model}/syntax/activations.h5",
    params:
        model=MODELS.settings,
        dtype=SYNTAX["dtype"],


rule probe_syntax:
    input:
        **of_model(activations="syntax/activations.h5", weights="weights.h5"),
    output:
        **of_model(probes="syntax/probes.nc", accuracy="syntax/accuracy.tsv"),
        **of_model(centres="syntax/centres.tsv", order="syntax/order.tsv"),
    params:
        device=MODELS.device,
        probes={"epochs": SYNTAX["epochs"], **SYNTAX["statistics"]},
    script:
        "../scripts/syntax/probe_syntax.py"


rule trigger_keys:
    input:
        text="results/{model}/syntax/text.nc",
        model=MODELS.files,
    output:
        **of_model(described="syntax/keys.nc", triggers="syntax/triggers.tsv", shared="syntax/keys.tsv"),
    params:
        model=MODELS.settings,
        chosen=SYNTAX["keys"],
        statistics=SYNTAX["statistics"],
    script:
        "../scripts/syntax/trigger_keys.py"
