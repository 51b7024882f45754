# model, prompts.tsv -> results/{model}/trace/state.nc -> trace/by_category.nc -> figures
rule trace_states:
    input:
        prompts="results/{model}/prompts.tsv",
        model=model_files,
        library=library("models", "architecture", "trace", "io"),
    output:
        "results/{model}/trace/state.nc",
    log:
        "logs/{model}/trace_states.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    resources:
        gpu=1,
    params:
        model=model_settings,
        noise=config["trace"]["noise"],
        samples=config["trace"]["samples"],
        seed=config["trace"]["seed"],
        max_rows=config["trace"]["max_rows"],
    script:
        "../scripts/trace_states.py"


rule average_traces:
    input:
        trace="results/{model}/trace/state.nc",
        library=library("restoration", "io"),
    output:
        "results/{model}/trace/by_category.nc",
    log:
        "logs/{model}/average_traces.log",
    conda:
        "../../envs/strata.yaml"
    params:
        min_gap=config["average"]["min_gap"],
        resamples=config["average"]["resamples"],
        interval=config["average"]["interval"],
        seed=config["average"]["seed"],
    script:
        "../scripts/average_traces.py"


rule plot_trace:
    input:
        trace="results/{model}/trace/state.nc",
        library=library("figures.trace", "io"),
    output:
        png=report(
            "results/{model}/figures/trace_{prompt}.png",
            category="2 Causal traces",
            subcategory="{model}",
            labels={"figure": "one prompt", "prompt": "{prompt}"},
            caption="../report/trace.rst",
        ),
        svg="results/{model}/figures/trace_{prompt}.svg",
    log:
        "logs/{model}/plot_trace_{prompt}.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_trace.py"


rule plot_restoration:
    input:
        averages="results/{model}/trace/by_category.nc",
        library=library("figures.trace", "io"),
    output:
        heatmap=report(
            "results/{model}/figures/restoration_heatmap.png",
            category="2 Causal traces",
            subcategory="{model}",
            labels={"figure": "by category, heat map", "prompt": "all"},
            caption="../report/restoration_heatmap.rst",
        ),
        heatmap_svg="results/{model}/figures/restoration_heatmap.svg",
        lines=report(
            "results/{model}/figures/restoration_lines.png",
            category="2 Causal traces",
            subcategory="{model}",
            labels={"figure": "by category, lines", "prompt": "all"},
            caption="../report/restoration_lines.rst",
        ),
        lines_svg="results/{model}/figures/restoration_lines.svg",
    log:
        "logs/{model}/plot_restoration.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_restoration.py"
