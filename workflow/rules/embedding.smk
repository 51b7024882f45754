# weights.h5, token counts -> results/{model}/embedding.nc, embedding/*.nc, tables
# text/activations.h5, model -> results/{model}/embedding/experiments.nc, outlier_channels.nc
EMBEDDING = config["embedding"]


rule decompose_embeddings:
    input:
        weights="results/{model}/weights.h5",
    output:
        "results/{model}/embedding.nc",
    params:
        components=EMBEDDING["components"],
    script:
        "../scripts/embedding/decompose_embeddings.py"


rule describe_channels:
    input:
        weights="results/{model}/weights.h5",
        counts=MODELS.known_counts,
    output:
        "results/{model}/embedding/channels.nc",
    params:
        statistics=EMBEDDING["statistics"],
    script:
        "../scripts/embedding/describe_channels.py"


rule disturb_positions:
    input:
        **of_model(channels="embedding/channels.nc", frequency="embedding/frequency.nc"),
        activations="results/{model}/text/activations.h5",
        model=MODELS.files,
    output:
        **of_model(experiments="embedding/experiments.nc", outliers="embedding/outlier_channels.nc"),
    priority: 60
    params:
        **{key: EMBEDDING[key] for key in ("experiments", "statistics")},
        model=MODELS.settings,
    script:
        "../scripts/embedding/disturb_positions.py"


rule describe_gains:
    input:
        **of_model(weights="weights.h5", channels="embedding/channels.nc"),
    output:
        **of_model(gains="embedding/gains.nc", table="embedding/gains.tsv"),
        positions="results/{model}/embedding/positions.nc",
    params:
        **{key: EMBEDDING[key] for key in ("shuffles", "statistics")},
        positions=EMBEDDING["sinusoids"],
    script:
        "../scripts/embedding/describe_gains.py"


rule correlate_frequency:
    input:
        **of_model(weights="weights.h5", embedding="embedding.nc"),
        counts=MODELS.counts,
    output:
        **of_model(frequency="embedding/frequency.nc", table="embedding/frequency.tsv"),
    params:
        frequency={"outlier_channels": EMBEDDING["outlier_channels"], **EMBEDDING["statistics"]},
    script:
        "../scripts/embedding/correlate_frequency.py"


rule describe_components:
    input:
        **of_model(weights="weights.h5", embedding="embedding.nc"),
        counts=MODELS.counts,
        grammar=lambda wildcards: "data/organism/grammar.yaml" if source_files(wildcards) == WORLD else [],
    output:
        **of_model(table="embedding/components.tsv", peaks="embedding/peaks.tsv"),
        components="results/{model}/embedding/components.nc",
    params:
        components={"components": EMBEDDING["components"], **EMBEDDING["properties"]}
        | {key: EMBEDDING["statistics"][key] for key in ("interval", "seed")},
    script:
        "../scripts/embedding/describe_components.py"


rule apply_zero_layer:
    input:
        weights="results/{model}/weights.h5",
        counts=MODELS.counts,
    output:
        **of_model(exceptions="embedding/exceptions.tsv", attractors="embedding/attractors.tsv"),
        called="results/{model}/embedding/zero_layer.nc",
    priority: 60
    params:
        model=MODELS.settings,
        zero_layer={**EMBEDDING["zero_layer"], **EMBEDDING["statistics"]},
    script:
        "../scripts/embedding/apply_zero_layer.py"


rule find_clumps:
    input:
        weights="results/{model}/weights.h5",
        counts=MODELS.counts,
    output:
        **of_model(clump="embedding/clump.nc", table="embedding/clump.tsv"),
    params:
        clump={**EMBEDDING["clump"], **EMBEDDING["statistics"]},
    script:
        "../scripts/embedding/find_clumps.py"
