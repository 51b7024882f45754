# data/organism/ or a CoNLL-U file, tokenizer -> results/{model}/syntax/text.nc: words with their tags
# syntax/text.nc, model, weights.h5 -> results/{model}/syntax/probes.nc, keys.nc, tables -> figures
SYNTAX = config["syntax"]


rule tag_text:
    input:
        source=WORLD if TAGS_ARE_KNOWN else TAGGED_SOURCE,
        model=model_files,
        library=library("tagged", "models", "organism.corpus", "io"),
    output:
        "results/{model}/syntax/text.nc",
    log:
        "logs/{model}/tag_text.log",
    conda:
        "../../envs/strata.yaml"
    params:
        model=tokenizer_settings,
        text=tagged_text_made(),
    script:
        "../scripts/tag_text.py"


use rule extract_text as extract_tagged_text with:
    input:
        text="results/{model}/syntax/text.nc",
        model=model_files,
        library=library("text", "models", "architecture", "capture", "io"),
    output:
        "results/{model}/syntax/activations.h5",
    log:
        "logs/{model}/extract_tagged_text.log",
    params:
        model=model_settings,
        dtype=SYNTAX["dtype"],


rule probe_syntax:
    input:
        activations="results/{model}/syntax/activations.h5",
        weights="results/{model}/weights.h5",
        library=library("syntax", "lens.decoders", "io"),
    output:
        probes="results/{model}/syntax/probes.nc",
        accuracy="results/{model}/syntax/accuracy.tsv",
        centres="results/{model}/syntax/centres.tsv",
        order="results/{model}/syntax/order.tsv",
    log:
        "logs/{model}/probe_syntax.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    params:
        probes={"epochs": SYNTAX["epochs"], **SYNTAX["statistics"]},
    script:
        "../scripts/probe_syntax.py"


rule trigger_keys:
    input:
        text="results/{model}/syntax/text.nc",
        model=model_files,
        library=library("keys", "text", "models", "architecture", "io"),
    output:
        described="results/{model}/syntax/keys.nc",
        triggers="results/{model}/syntax/triggers.tsv",
        shared="results/{model}/syntax/keys.tsv",
    log:
        "logs/{model}/trigger_keys.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    resources:
        gpu=gpus,
    params:
        model=model_settings,
        chosen=SYNTAX["keys"],
        statistics=SYNTAX["statistics"],
    script:
        "../scripts/trigger_keys.py"


rule plot_syntax:
    input:
        probes="results/{model}/syntax/probes.nc",
        described="results/{model}/syntax/keys.nc",
        library=library("figures.syntax", "io"),
    output:
        png=[attention_report(f"syntax_{name}", f"syntax, {name}") for name in SYNTAX_FIGURES],
        svg=[f"results/{{model}}/figures/syntax_{name}.svg" for name in SYNTAX_FIGURES],
    log:
        "logs/{model}/plot_syntax.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_syntax.py"
