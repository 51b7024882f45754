# weights.h5, token counts -> results/{model}/embedding.nc, embedding/*.nc, tables -> figures
# text/text.nc, model -> results/{model}/embedding/experiments.nc
rule decompose_embeddings:
    input:
        weights="results/{model}/weights.h5",
        library=library("embedding.svd", "io"),
    output:
        "results/{model}/embedding.nc",
    log:
        "logs/{model}/decompose_embeddings.log",
    conda:
        "../../envs/strata.yaml"
    params:
        components=EMBEDDING["components"],
    script:
        "../scripts/decompose_embeddings.py"


rule plot_embedding:
    input:
        "results/{model}/embedding.nc",
        library=library("figures.embedding", "io"),
    output:
        png=[embedding_report(name) for name in SVD_FIGURES],
        svg=[f"results/{{model}}/figures/embedding_{name}.svg" for name in SVD_FIGURES],
    log:
        "logs/{model}/plot_embedding.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_embedding.py"


rule describe_channels:
    input:
        weights="results/{model}/weights.h5",
        counts=exact_token_counts,
        library=library("embedding.channels", "text", "io"),
    output:
        "results/{model}/embedding/channels.nc",
    log:
        "logs/{model}/describe_channels.log",
    conda:
        "../../envs/strata.yaml"
    params:
        statistics=EMBEDDING["statistics"],
    script:
        "../scripts/describe_channels.py"


rule plot_channels:
    input:
        weights="results/{model}/weights.h5",
        channels="results/{model}/embedding/channels.nc",
        library=library("figures.embedding_channels", "io"),
    output:
        png=[embedding_report(name) for name in CHANNEL_FIGURES],
        svg=[f"results/{{model}}/figures/embedding_{name}.svg" for name in CHANNEL_FIGURES],
    log:
        "logs/{model}/plot_channels.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_channels.py"


rule describe_positions:
    input:
        weights="results/{model}/weights.h5",
        channels="results/{model}/embedding/channels.nc",
        library=library("embedding.positions", "io"),
    output:
        "results/{model}/embedding/positions.nc",
    log:
        "logs/{model}/describe_positions.log",
    conda:
        "../../envs/strata.yaml"
    params:
        positions=EMBEDDING["sinusoids"],
        statistics=EMBEDDING["statistics"],
    script:
        "../scripts/describe_positions.py"


rule plot_positions:
    input:
        weights="results/{model}/weights.h5",
        channels="results/{model}/embedding/channels.nc",
        positions="results/{model}/embedding/positions.nc",
        library=library("figures.embedding_positions", "io"),
    output:
        png=[embedding_report(name) for name in POSITION_FIGURES],
        svg=[f"results/{{model}}/figures/embedding_{name}.svg" for name in POSITION_FIGURES],
    log:
        "logs/{model}/plot_positions.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_positions.py"


rule disturb_positions:
    input:
        text="results/{model}/text/text.nc",
        channels="results/{model}/embedding/channels.nc",
        model=model_files,
        library=library("embedding.experiments", "text", "models", "architecture", "io"),
    output:
        "results/{model}/embedding/experiments.nc",
    log:
        "logs/{model}/disturb_positions.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    resources:
        gpu=gpus,
    params:
        model=model_settings,
        experiments=EMBEDDING["experiments"],
        statistics=EMBEDDING["statistics"],
    script:
        "../scripts/disturb_positions.py"


rule plot_experiments:
    input:
        "results/{model}/embedding/experiments.nc",
        library=library("figures.embedding_experiments", "io"),
    output:
        png=[embedding_report(name) for name in EXPERIMENT_FIGURES],
        svg=[f"results/{{model}}/figures/embedding_{name}.svg" for name in EXPERIMENT_FIGURES],
    log:
        "logs/{model}/plot_experiments.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_experiments.py"


rule describe_gains:
    input:
        weights="results/{model}/weights.h5",
        channels="results/{model}/embedding/channels.nc",
        library=library("embedding.gains", "io"),
    output:
        gains="results/{model}/embedding/gains.nc",
        table="results/{model}/embedding/gains.tsv",
    log:
        "logs/{model}/describe_gains.log",
    conda:
        "../../envs/strata.yaml"
    params:
        shuffles=EMBEDDING["shuffles"],
        statistics=EMBEDDING["statistics"],
    script:
        "../scripts/describe_gains.py"


rule plot_gains:
    input:
        channels="results/{model}/embedding/channels.nc",
        gains="results/{model}/embedding/gains.nc",
        table="results/{model}/embedding/gains.tsv",
        library=library("figures.embedding_gains", "io"),
    output:
        png=[embedding_report(name) for name in GAIN_FIGURES],
        svg=[f"results/{{model}}/figures/embedding_{name}.svg" for name in GAIN_FIGURES],
    log:
        "logs/{model}/plot_gains.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_gains.py"


rule correlate_frequency:
    input:
        weights="results/{model}/weights.h5",
        embedding="results/{model}/embedding.nc",
        counts=token_counts,
        library=library("embedding.frequency", "io"),
    output:
        frequency="results/{model}/embedding/frequency.nc",
        table="results/{model}/embedding/frequency.tsv",
    log:
        "logs/{model}/correlate_frequency.log",
    conda:
        "../../envs/strata.yaml"
    params:
        frequency={"outlier_channels": EMBEDDING["outlier_channels"], **EMBEDDING["statistics"]},
    script:
        "../scripts/correlate_frequency.py"


rule plot_frequency:
    input:
        "results/{model}/embedding/frequency.nc",
        library=library("figures.embedding_frequency", "io"),
    output:
        png=[embedding_report(name) for name in FREQUENCY_FIGURES],
        svg=[f"results/{{model}}/figures/embedding_{name}.svg" for name in FREQUENCY_FIGURES],
    log:
        "logs/{model}/plot_frequency.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_frequency.py"


rule describe_components:
    input:
        weights="results/{model}/weights.h5",
        embedding="results/{model}/embedding.nc",
        counts=token_counts,
        grammar=lambda wildcards: "data/organism/grammar.yaml" if exact_token_counts(wildcards) else [],
        library=library("embedding.components", "embedding.token_properties", "text", "io"),
    output:
        components="results/{model}/embedding/components.nc",
        table="results/{model}/embedding/components.tsv",
        peaks="results/{model}/embedding/peaks.tsv",
    log:
        "logs/{model}/describe_components.log",
    conda:
        "../../envs/strata.yaml"
    params:
        components={
            "components": EMBEDDING["components"],
            **EMBEDDING["properties"],
            "interval": EMBEDDING["statistics"]["interval"],
            "seed": EMBEDDING["statistics"]["seed"],
        },
    script:
        "../scripts/describe_components.py"


rule plot_components:
    input:
        "results/{model}/embedding/components.nc",
        library=library("figures.embedding_components", "io"),
    output:
        png=[embedding_report(name) for name in COMPONENT_FIGURES],
        svg=[f"results/{{model}}/figures/embedding_{name}.svg" for name in COMPONENT_FIGURES],
    log:
        "logs/{model}/plot_components.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_components.py"


rule apply_zero_layer:
    input:
        weights="results/{model}/weights.h5",
        counts=token_counts,
        library=library("embedding.zero_layer", "io"),
    output:
        called="results/{model}/embedding/zero_layer.nc",
        exceptions="results/{model}/embedding/exceptions.tsv",
        attractors="results/{model}/embedding/attractors.tsv",
    log:
        "logs/{model}/apply_zero_layer.log",
    conda:
        "../../envs/strata.yaml"
    threads: 2
    resources:
        gpu=gpus,
    params:
        model=model_settings,
        zero_layer={**EMBEDDING["zero_layer"], **EMBEDDING["statistics"]},
    script:
        "../scripts/apply_zero_layer.py"


rule find_clumps:
    input:
        weights="results/{model}/weights.h5",
        counts=token_counts,
        library=library("embedding.clump", "io"),
    output:
        clump="results/{model}/embedding/clump.nc",
        table="results/{model}/embedding/clump.tsv",
    log:
        "logs/{model}/find_clumps.log",
    conda:
        "../../envs/strata.yaml"
    params:
        clump={**EMBEDDING["clump"], **EMBEDDING["statistics"]},
    script:
        "../scripts/find_clumps.py"


rule plot_zero_layer:
    input:
        called="results/{model}/embedding/zero_layer.nc",
        clump="results/{model}/embedding/clump.nc",
        library=library("figures.embedding_zero_layer", "io"),
    output:
        png=[embedding_report(name) for name in ZERO_LAYER_FIGURES],
        svg=[f"results/{{model}}/figures/embedding_{name}.svg" for name in ZERO_LAYER_FIGURES],
    log:
        "logs/{model}/plot_zero_layer.log",
    conda:
        "../../envs/strata.yaml"
    script:
        "../scripts/plot_zero_layer.py"
