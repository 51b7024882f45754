# activations.h5, prompts.tsv, trace/by_category.nc -> results/{model}/attention.nc, attention_heads.tsv, hidden.nc
# text/text.nc, the text that it was drawn from, weights.h5, model -> results/{model}/attention_text.nc
ATTENTION = config["attention"]


rule read_attention:
    input:
        **of_model(activations="activations.h5", prompts="prompts.tsv", averages="trace/by_category.nc"),
    output:
        **of_model(attention="attention.nc", heads="attention_heads.tsv"),
    priority: 70
    params:
        **{key: ATTENTION[key] for key in ("contrast", "statistics")},
    script:
        "../scripts/attention/read_attention.py"


rule attend_over_text:
    input:
        text="results/{model}/text/text.nc",
        long=lambda wildcards: source_files(wildcards, "long_text"),
        weights="results/{model}/weights.h5",
        model=MODELS.files,
    output:
        "results/{model}/attention_text.nc",
    params:
        model=MODELS.settings,
        attention={k: ATTENTION[k] for k in ("documents", "skip", "first", "outsized", "statistics")},
        long=lambda wildcards: drawn(config, wildcards.model, "long_text"),
    script:
        "../scripts/attention/attend_over_text.py"


rule measure_motion:
    input:
        **of_model(activations="activations.h5", prompts="prompts.tsv", averages="trace/by_category.nc"),
    output:
        "results/{model}/hidden.nc",
    priority: 70
    params:
        hidden=config["hidden"],
    script:
        "../scripts/attention/measure_motion.py"
