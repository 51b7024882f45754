# activations.h5, prompts.tsv, trace/by_category.nc -> results/{model}/attention.nc, hidden.nc -> figures
# text/text.nc, weights.h5, model -> results/{model}/attention_text.nc -> figures


rule read_attention:
    input:
        activations="results/{model}/activations.h5",
        prompts="results/{model}/prompts.tsv",
        averages="results/{model}/trace/by_category.nc",
        library=library("attention", "io"),
    output:
        "results/{model}/attention.nc",
    log:
        "logs/{model}/read_attention.log",
    conda:
        "../../envs/strata.yaml"
    params:
        statistics=STATISTICS,
    script:
        "../scripts/read_attention.py"


rule attend_over_text:
    input:
        text="results/{model}/text/text.nc",
        weights="results/{model}/weights.h5",
        model=model_files,
        library=library("attention", "text", "models", "architecture", "io"),
    output:
        "results/{model}/attention_text.nc",
    log:
        "logs/{model}/attend_over_text.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    resources:
        gpu=gpus,
    params:
        model=model_settings,
        attention=config["attention"],
    script:
        "../scripts/attend_over_text.py"


rule measure_motion:
    input:
        activations="results/{model}/activations.h5",
        prompts="results/{model}/prompts.tsv",
        averages="results/{model}/trace/by_category.nc",
        library=library("hidden", "io"),
    output:
        "results/{model}/hidden.nc",
    log:
        "logs/{model}/measure_motion.log",
    conda:
        "../../envs/strata.yaml"
    params:
        hidden=config["hidden"],
        statistics=STATISTICS,
    script:
        "../scripts/measure_motion.py"


rule plot_attention:
    input:
        attention="results/{model}/attention.nc",
        in_text="results/{model}/attention_text.nc",
        library=library("figures.attention", "io"),
    output:
        png=[attention_report(f"attention_{name}", f"attention, {name}") for name in ATTENTION_FIGURES],
        svg=[f"results/{{model}}/figures/attention_{name}.svg" for name in ATTENTION_FIGURES],
    log:
        "logs/{model}/plot_attention.log",
    conda:
        "../../envs/strata.yaml"
    params:
        noise=drawn_level(),
    script:
        "../scripts/plot_attention.py"


rule plot_attention_text:
    input:
        "results/{model}/attention_text.nc",
        library=library("figures.attention", "io"),
    output:
        png=[
            attention_report(f"attention_{name}", f"attention over text, {name.replace('_', ' ')}")
            for name in TEXT_ATTENTION_FIGURES
        ],
        svg=[f"results/{{model}}/figures/attention_{name}.svg" for name in TEXT_ATTENTION_FIGURES],
    log:
        "logs/{model}/plot_attention_text.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_attention_text.py"


rule plot_hidden:
    input:
        hidden="results/{model}/hidden.nc",
        library=library("figures.hidden", "io"),
    output:
        png=[
            attention_report(f"hidden_{name}", f"hidden states, {name.replace('_', ' ')}")
            for name in MOTION_FIGURES
        ],
        svg=[f"results/{{model}}/figures/hidden_{name}.svg" for name in MOTION_FIGURES],
    log:
        "logs/{model}/plot_hidden.log",
    conda:
        "../../envs/strata.yaml"
    params:
        cropped=config["hidden"]["cropped"],
        noise=drawn_level(),
    script:
        "../scripts/plot_hidden.py"
