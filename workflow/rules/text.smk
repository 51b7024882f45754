# the text of a model, tokenizer -> results/{model}/text/text.nc, token_counts.tsv
# text.nc, model -> results/{model}/text/activations.h5
WORLD = sorted(str(path) for path in Path("data/organism").rglob("*.*"))


rule gather_text:
    input:
        source=source_files,
        model=MODELS.files,
    output:
        **of_model(text="text/text.nc", counts="text/token_counts.tsv"),
    params:
        model=lambda wildcards: MODELS.settings(wildcards, ("source", "revision")),
        text=lambda wildcards: drawn(config, wildcards.model, "text"),
    script:
        "../scripts/text/gather_text.py"


rule extract_text:
    input:
        text="results/{model}/text/text.nc",
        model=MODELS.files,
    output:
        "results/{model}/text/activations.h5",
    priority: 60
    params:
        model=MODELS.settings,
        dtype=config["text"]["dtype"],
    script:
        "../scripts/text/extract_text.py"
